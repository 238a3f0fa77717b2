package cases

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/integration/vm"
)

// streamsScript uses all standard streams, the console, and the port com.example.data if it exists.
const streamsScript = `
cat
echo output
echo diagnostics >&2
echo operator >/dev/console
for port in /sys/class/virtio-ports/*; do
	if [ "$(cat $port/name 2>/dev/null)" = com.example.data ]; then
		exec 3<>/dev/${port##*/}
		read line <&3
		echo "answer to $line" >&3
	fi
done
exit 3
`

// TestStreams checks libkrun's multiport console: each standard stream is connected to its port if
// the port exists, and to the console otherwise.
func TestStreams(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ports []string
		arch  string
	}{
		{"console only", nil, "amd64"},
		{"stdin", []string{"krun-stdin"}, "amd64"},
		{"stdout", []string{"krun-stdout"}, "amd64"},
		{"stderr", []string{"krun-stderr"}, "amd64"},
		{"stdin and stderr, other ports", []string{"com.example.data", "krun-stdin", "com.example.idle", "krun-stderr"}, "amd64"},
		{"all, another port", []string{"com.example.data", "krun-stderr", "krun-stdout", "krun-stdin"}, "amd64"},
		{"all", []string{"krun-stdin", "krun-stdout", "krun-stderr"}, "arm64"},
	} {
		t.Run(tt.name+" "+tt.arch, func(t *testing.T) {
			t.Parallel()
			const input = "input\n" // followed by EOF
			cfg := script(t, tt.arch, streamsScript)
			outputs := map[string]*bytes.Buffer{}
			for _, name := range tt.ports {
				port := vm.Port{Name: name, Out: &bytes.Buffer{}}
				switch name {
				case "krun-stdin":
					port.In = strings.NewReader(input)
				case "com.example.data":
					r, w := io.Pipe() // never ends, because EOF would close the port for output too
					defer w.Close()
					go io.WriteString(w, "question\n")
					port.In = r
				}
				outputs[name] = port.Out.(*bytes.Buffer)
				cfg.Ports = append(cfg.Ports, port)
			}
			typed := ""
			if !slices.Contains(tt.ports, "krun-stdin") {
				cfg.ConsoleIn = strings.NewReader(input + "\x04") // Ctrl-D, EOF on a terminal
				typed = input
			}

			result := run(t, cfg, 3)
			consoleWant := typed
			for _, stream := range []struct{ name, want string }{
				{"krun-stdin", ""}, {"krun-stdout", input + "output\n"}, {"krun-stderr", "diagnostics\n"}, {"com.example.idle", ""},
			} {
				if output := outputs[stream.name]; output == nil {
					consoleWant += stream.want
				} else if got := output.String(); got != stream.want {
					t.Errorf("%s = %q, want %q", stream.name, got, stream.want)
				}
			}
			wantConsole(t, result, consoleWant+"operator\n")
			if output := outputs["com.example.data"]; output != nil && output.String() != "answer to question\n" {
				t.Errorf("com.example.data = %q, want the answer to the question", output)
			}
		})
	}
}

// TestMessagesOfInit checks that init prints warnings on the console, and the error for a workload
// that cannot run on the workload's standard error.
func TestMessagesOfInit(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	cfg := withBusybox(t, "amd64")
	cfg.Env = []string{"KRUN_UNKNOWN=1"}
	cfg.Args = []string{"/no/such"}
	cfg.Ports = []vm.Port{{Name: "krun-stdout", Out: &stdout}, {Name: "krun-stderr", Out: &stderr}}
	result := run(t, cfg, 127)
	wantLine(t, console(result), "krunbox: warning: ", "KRUN_UNKNOWN")
	wantLine(t, stderr.String(), "krunbox: ", "/no/such", "no such file or directory")
	if stdout.Len() > 0 {
		t.Errorf("standard output = %q, want nothing", stdout.String())
	}
}
