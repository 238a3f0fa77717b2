package cases

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// A dialog simulates a user at the console of a machine, who waits for output before typing. It is
// used as both Console and ConsoleIn of the machine.
type dialog struct {
	steps []step // remaining steps
	shown []byte // output since the last step
	keys  chan string
}

type step struct {
	shown string // output to wait for
	typed string // input after that
}

func newDialog(t *testing.T, steps ...step) *dialog {
	d := &dialog{steps: steps, keys: make(chan string, len(steps))}
	t.Cleanup(func() { close(d.keys) }) // ends a blocked Read
	return d
}

// Write receives the output of the guest.
func (d *dialog) Write(p []byte) (int, error) {
	d.shown = append(d.shown, p...)
	for len(d.steps) > 0 {
		_, rest, found := bytes.Cut(d.shown, []byte(d.steps[0].shown))
		if !found {
			break
		}
		d.shown = rest
		d.keys <- d.steps[0].typed
		d.steps = d.steps[1:]
	}
	return len(p), nil
}

// Read returns what the user types.
func (d *dialog) Read(p []byte) (int, error) {
	keys, more := <-d.keys
	if !more {
		return 0, io.EOF
	}
	return copy(p, keys), nil
}

// TestInteractiveShell runs a shell on the console, and checks Ctrl-C, Ctrl-Z and job control.
func TestInteractiveShell(t *testing.T) {
	t.Parallel()
	const prompt = "/ # "
	d := newDialog(t,
		step{prompt, "tty\n"},
		step{"\n/dev/hvc0\r\n", "sh -c 'echo one; exec sleep 1000'\n"},
		step{"\none\r\n", "\x03"}, // Ctrl-C
		step{prompt, "echo status $?\n"},
		step{"\nstatus 130\r\n", "sh -c 'echo two; exec sleep 1000'\n"},
		step{"\ntwo\r\n", "\x1a"}, // Ctrl-Z
		step{"Stopped", "exit 3\n"},
		step{"You have stopped jobs.", "exit 3\n"},
	)
	cfg := withBusybox(t, "amd64")
	cfg.Console, cfg.ConsoleIn = d, d
	text := console(run(t, cfg, 3))
	if len(d.steps) > 0 {
		t.Errorf("text %q did not appear; console:\n%s", d.steps[0].shown, text)
	}
	for _, complaint := range []string{"can't access tty", "job control turned off"} {
		if strings.Contains(text, complaint) {
			t.Errorf("console = %q, want it not to contain %q", text, complaint)
		}
	}
}
