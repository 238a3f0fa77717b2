package cases

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

// serialMachine returns a machine whose console is a serial port. An image's init goes on to a root
// with busybox.
func serialMachine(t *testing.T, args ...string) vm.Config {
	t.Helper()
	img, cfg := buildImage(t, "amd64"), withBusybox(t, "amd64")
	return vm.Config{
		Arch: "amd64", Machine: vm.Q35, Kernel: img.kernel, Initrd: img.initramfs, InitPath: "/init", Root: cfg.Root,
		Env:  []string{"KRUN_BLOCK_ROOT_DEVICE=/dev/root", "KRUN_BLOCK_ROOT_FSTYPE=virtiofs", "KRUN_INIT=" + args[0]},
		Args: args[1:], Deadline: 2 * time.Minute,
	}
}

// slowConsole makes a serial port that the host reads slowly the console of a machine, so that the
// guest has much to send at its end, one page in every interval at most. It returns a function that
// returns what the port has sent, when the machine has ended.
func slowConsole(t *testing.T, cfg *vm.Config, interval time.Duration) (sent func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "serial")
	for _, name := range []string{path + ".in", path + ".out"} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe, err := os.OpenFile(path+".out", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	t.Cleanup(func() {
		close(ended)
		pipe.Close()
	})
	if _, err := unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
		return []string{"-chardev", "pipe,id=slow,path=" + path, "-serial", "chardev:slow"}
	}})
	cfg.NoConsole = true
	const end = "\x00end" // written by sent
	text := make(chan string, 1)
	go func() {
		var b strings.Builder
		for buf := make([]byte, 4096); !strings.HasSuffix(b.String(), end); {
			n, err := pipe.Read(buf)
			if err != nil {
				break
			}
			b.Write(buf[:n])
			select { // that is what makes it slow
			case <-time.After(interval):
			case <-ended:
				return
			}
		}
		text <- strings.ReplaceAll(strings.TrimSuffix(b.String(), end), "\r\n", "\n")
	}()
	return func() string {
		if _, err := io.WriteString(pipe, end); err != nil {
			t.Error(err)
		}
		return <-text
	}
}

// TestSerialConsole has a workload that writes much to a serial console and ends at once. All of it
// must arrive, though the host reads it slowly.
func TestSerialConsole(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for i := range 6000 {
		fmt.Fprintln(&want, i+1)
	}
	cfg := serialMachine(t, "seq", "1", "6000")
	sent := slowConsole(t, &cfg, 80*time.Millisecond)
	run(t, cfg, 0)
	if got := sent(); !strings.Contains(got, want.String()) {
		t.Errorf("the console has %d bytes, which end in %q; want it to contain all of %d bytes",
			len(got), got[max(0, len(got)-50):], want.Len())
	}
}

// TestSerialConsoleStuck has a host that does not read what a workload has written to a serial console.
// The machine ends nevertheless.
func TestSerialConsoleStuck(t *testing.T) {
	t.Parallel()
	cfg := serialMachine(t, "sh", "-c", "seq 1 1400; exit 7") // fits into the buffers of pipe and kernel
	slowConsole(t, &cfg, time.Hour)
	run(t, cfg, 7)
}

// TestSerialSession checks job control on a serial console. Process 1 leads the session of the
// terminal, and the workload is the foreground group, until it exits by Ctrl-D.
func TestSerialSession(t *testing.T) {
	t.Parallel()
	const prompt = "/ # "
	d := newDialog(t,
		step{prompt, "tty\n"},
		step{"\n/dev/ttyS0\r\n", "read -r _ _ _ parent group session terminal foreground rest </proc/$$/stat\n"},
		step{prompt, "echo $(($$ == group)) $((group == foreground)) $parent $session $((terminal > 0))\n"},
		step{"\n1 1 1 1 1\r\n", "sh -c 'echo one; exec sleep 1000'\n"},
		step{"\none\r\n", "\x03"}, // Ctrl-C
		step{prompt, "echo status $?\n"},
		step{"\nstatus 130\r\n", "sh -c 'echo two; exec sleep 1000'\n"},
		step{"\ntwo\r\n", "\x1a"}, // Ctrl-Z
		step{"Stopped", "kill %1; fg; sh -c 'echo three; exit 3'\n"},
		step{"\nthree\r\n" + prompt, "\x04"}, // Ctrl-D
	)
	cfg := serialMachine(t, "/bin/sh")
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
