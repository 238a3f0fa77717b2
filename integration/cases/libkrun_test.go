package cases

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/probe"
	"github.com/krunbox/krunbox/integration/vm"
)

// libkrunDifferences documents the differences from libkrun's own init, and the reasons for them.
const libkrunDifferences = "../LIBKRUN.md"

var allInputs = flag.Bool("all-inputs", false, "compare krunbox with libkrun's init for all inputs, not only for some")

// libkrunGuest prints the state that it observes of itself and of the guest as a line of JSON. With
// the argument report it also reports its exit code to the host.
var libkrunGuest = inGuest("state", func(t *testing.T) {
	s := probe.Take(probe.Request{Paths: []string{"/", "/run", "/tmp", "/etc/hosts", "/etc/resolv.conf", "/dev/shm", "/proc/sys/kernel/hostname"}})
	addTree(s, "in", "/run")
	addProcesses(s)
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		t.Error(err)
	}
	if slices.Contains(os.Args, "report") { // in init's place
		reportExitCode(t)
	}
})

// addTree adds a field for each file below dir: its type, permissions, owners and contents. The
// name of the field is its path below dir, after the word kind and dir's name.
func addTree(s probe.State, kind, dir string) {
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%06o %d:%d", st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			text += " -> " + target
		case unix.S_IFREG:
			text += fmt.Sprintf(" %d bytes", st.Size)
			if st.Size < 1024 {
				b, err := os.ReadFile(path)
				text += fmt.Sprintf(" %q %v", b, err)
			}
		}
		s[kind+" "+filepath.Base(dir)+" "+strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		s[kind+" "+filepath.Base(dir)] = "error: " + err.Error()
	}
}

// addProcesses adds the names of the processes, without the kernel's threads and this process.
func addProcesses(s probe.State) {
	var names []string
	paths, err := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		cmdline, _ := os.ReadFile(path + "/cmdline")
		if comm, _ := os.ReadFile(path + "/comm"); len(cmdline) != 0 && path != fmt.Sprint("/proc/", os.Getpid()) {
			names = append(names, strings.TrimSpace(string(comm)))
		}
	}
	slices.Sort(names)
	s["processes"] = fmt.Sprint(names, err)
}

// A libkrunInput is what a host gives to init. The workload is libkrunGuest, by its path
// /guest/state, or a program of the root.
type libkrunInput struct {
	name string
	core bool // is run without the flag allInputs, too

	env    []string
	args   []string
	config string                  // contents of /.krun_config.json; none if empty
	files  map[string]string       // files to add to the root, by path; a name that ends with a slash is a directory
	root   func(root string) error // changes the root
	change func(*testing.T, *vm.Config)

	stdin   string // data for the standard input, which ends after it; if empty, it never ends
	console bool   // the standard streams are the console, not ports
}

// under boots the input with an init, and returns what the workload and the host observe.
func (in libkrunInput) under(t *testing.T, init string) probe.State {
	t.Helper()
	cfg := vm.Config{
		Arch: "amd64", Init: init, InitOneShot: true, Root: filepath.Join(t.TempDir(), "root"),
		Env: in.env, Args: in.args, Deadline: 90 * time.Second,
		Files: []hostfs.File{{Path: libkrunGuest.path(), Source: guestPrograms.build(t, "amd64"), Mode: 0o755}},
	}
	if in.config != "" {
		cfg.GuestConfig = []byte(in.config)
	}
	if err := in.fill(t, cfg.Root); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if !in.console {
		never, end := io.Pipe()
		defer end.Close()
		stdin := io.Reader(never)
		if in.stdin != "" {
			stdin = strings.NewReader(in.stdin)
		}
		cfg.Ports = []vm.Port{{Name: "krun-stdin", In: stdin}, {Name: "krun-stdout", Out: &stdout}, {Name: "krun-stderr", Out: &stderr}}
	}
	if in.change != nil {
		in.change(t, &cfg)
	}
	result, err := vm.Run(t.Context(), cfg)
	s := probe.State{"exit codes": fmt.Sprint(result.ExitCodes)}
	if guest, ok := errors.AsType[*vm.GuestError](err); ok {
		s["end"] = guest.Err.Error()
	} else if err != nil {
		t.Fatal(err)
	}
	addOutput(s, "standard output", stdout.String())
	addOutput(s, "standard error", stderr.String())
	addOutput(s, "console", console(result))
	if cfg.Root != "" {
		addTree(s, "host", cfg.Root)
	}
	return s
}

// compare returns the differences under two inits. Where libkrunGuest runs under one of them only,
// they do not include its state.
func (in libkrunInput) compare(t *testing.T, krunbox, peer string) []probe.Difference {
	t.Helper()
	a, b := in.under(t, krunbox), in.under(t, peer)
	if (a[stateField] == "") != (b[stateField] == "") {
		isGuest := func(field, _ string) bool {
			return !slices.Contains(hostFields, field) && !strings.HasPrefix(field, "host root")
		}
		maps.DeleteFunc(a, isGuest)
		maps.DeleteFunc(b, isGuest)
	}
	return probe.Compare(a, b)
}

// Fields of states that are observed by the host, besides those of addTree; and one that
// libkrunGuest always has.
var hostFields = []string{"exit codes", "end", "standard output", "standard error", "console"}

const stateField = "process ID"

// fill creates the root.
func (in libkrunInput) fill(t *testing.T, root string) error {
	t.Helper()
	if err := guestroot.Create(t.Context(), "amd64", root); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(in.files)) {
		path := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(in.files[name]), 0o755); err != nil {
			return err
		}
	}
	if in.root != nil {
		return in.root(root)
	}
	return nil
}

// addOutput adds the fields of the states in output, and a field for the rest of it.
func addOutput(s probe.State, name, output string) {
	var rest strings.Builder
	for line := range strings.Lines(output) {
		state := probe.State{}
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &state) == nil {
			maps.Copy(s, state)
		} else {
			rest.WriteString(line)
		}
	}
	s[name] = strconv.Quote(rest.String())
	if rest.Len() > 2048 {
		s[name] = fmt.Sprintf("%d bytes, SHA-256 %x", rest.Len(), sha256.Sum256([]byte(rest.String())))
	}
}

// TestLikeLibkrun boots the same inputs with krunbox and with libkrun's init, and compares what
// workload and host observe. The test fails for a difference that is not in libkrunDifferences, and
// for one in libkrunDifferences that does not exist.
func TestLikeLibkrun(t *testing.T) {
	t.Parallel()
	peer, err := guestkernel.PeerInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := readDifferences(t, libkrunDifferences)
	var mu sync.Mutex
	found := map[int]bool{} // by index in known
	ran := 0
	t.Run("inputs", func(t *testing.T) {
		for _, in := range libkrunInputs {
			if !in.core && !*allInputs {
				continue
			}
			t.Run(in.name, func(t *testing.T) {
				t.Parallel()
				list := in.compare(t, product(t, "amd64"), peer)
				mu.Lock()
				defer mu.Unlock()
				ran++
				for _, d := range list {
					i := slices.IndexFunc(known, func(k difference) bool { return matches(k.input, in.name) && k.matches(d) })
					if i < 0 {
						t.Errorf("| `%s` | `%s` | `%s` | `%s` |", in.name, d.Field, d.A, d.B)
					}
					found[i] = true
				}
			})
		}
	})
	if ran < len(libkrunInputs) {
		return
	}
	for i, k := range known {
		if !found[i] {
			t.Errorf("%s:%d: %s does not differ", libkrunDifferences, k.line, k.field)
		}
	}
}
