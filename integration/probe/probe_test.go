package probe

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	a := State{"same": "1", "other": "1", "only": "2", "empty": ""}
	b := State{"same": "1", "other": "2", "new": "3", "void": ""}
	want := []Difference{{"new", "", "3"}, {"only", "2", ""}, {"other", "1", "2"}}
	if got := Compare(a, b); !slices.Equal(got, want) {
		t.Errorf("Compare() = %q, want %q", got, want)
	}
	if got := Compare(a, a); len(got) > 0 {
		t.Errorf("Compare() of equal states = %q, want none", got)
	}
}

func TestCapabilities(t *testing.T) {
	for set, want := range map[string]string{
		"0000000000000000": "",
		"0000000000000021": "CHOWN KILL",
		"8000010000000000": "CHECKPOINT_RESTORE 63",
		"nonsense":         "nonsense",
	} {
		if got := capabilities(set); got != want {
			t.Errorf("capabilities(%s) = %q, want %q", set, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	got := Parse("Name:\tcat\nUmask:\t0022\nGroups:\t4 5 \nSigIgn:\t0000000180001000\n" +
		"CapEff:\t0000000000000001\n" +
		"Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max open files            1024                 524288               files     \n" +
		"Max nice priority         0                    0                    \n")
	want := State{
		"umask":                   "0022",
		"supplementary groups":    "4 5",
		"signals ignored":         "0000000000001000",
		"capabilities effective":  "CHOWN",
		"limit Max open files":    "1024 524288",
		"limit Max nice priority": "0 0",
	}
	if !maps.Equal(got, want) {
		t.Errorf("Parse() = %q, want %q", got, want)
	}
}

// child is the environment variable that makes the test binary print its state.
const child = "KRUNBOX_PROBE_TEST"

// TestTake has a shell that changes its state, also in ways that Go's runtime changes back, and
// executes the test binary, which prints the state.
func TestTake(t *testing.T) {
	if os.Getenv(child) != "" {
		r := Request{Sysctls: []string{"kernel.ostype", "no.such"}, Paths: []string{"/dev/null"}}
		if err := json.NewEncoder(os.Stdout).Encode(Take(r)); err != nil {
			t.Error(err)
		}
		return
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip(err)
	}
	const script = `umask 027; ulimit -S -n 77; exec 9</dev/null; cd /usr
exec "$0" -test.run='^TestTake$'`
	cmd := exec.Command("/bin/sh", "-c", script, os.Args[0])
	if !strings.HasPrefix(os.Args[0], "/") {
		t.Fatalf("path of the test = %s, want an absolute one", os.Args[0])
	}
	cmd.Env = []string{child + "=\xff\n"}
	cmd.Stderr = os.Stderr
	// A pipe, because the standard input of the test varies.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var s State
	line, _, _ := strings.Cut(string(output), "\n")
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for field, want := range (State{
		"umask":                    "0027",
		"signals blocked":          "0000000000000000",
		"descriptor 0 target":      "pipe",
		"descriptor 0 type":        "fifo",
		"descriptor 9 target":      "/dev/null",
		"descriptor 9 type":        "char 1:3",
		"descriptor 9 terminal":    "false",
		"descriptor 9 opens again": "true",
		"working directory":        "/usr",
		"variable " + child:        `"\xff\n"`,
		"sysctl kernel.ostype":     "Linux",
		"sysctl no.such":           "error: open /proc/sys/no/such: no such file or directory",
		"path /dev/null empty":     "true",
		"path /dev/null writable":  "true",
		"parent death signal":      "0",
		"mount /proc type":         "proc",
	}) {
		if s[field] != want {
			t.Errorf("%s = %q, want %q", field, s[field], want)
		}
	}
	// Descriptors that the test inherits have higher numbers.
	if open := s["descriptors"]; !strings.HasPrefix(open+" ", "0 1 2 9 ") {
		t.Errorf("descriptors = %q, want 0 1 2 9", open)
	}
	if soft, _, _ := strings.Cut(s["limit Max open files"], " "); soft != "77" {
		t.Errorf("limit on open files = %q, want 77", s["limit Max open files"])
	}
}
