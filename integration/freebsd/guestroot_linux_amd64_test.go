package freebsd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// buildForFreeBSD builds init and returns its path.
func buildForFreeBSD(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "init")
	cmd := exec.Command("go", "build", "-o", program, "./cmds/init")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=freebsd", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// newGuestRoot makes a root directory with a console. It returns a function that closes the console
// and returns what was written to it.
func newGuestRoot(t *testing.T, root string) (output func() string) {
	t.Helper()
	write(t, root+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root+"/script", "echo\n")
	if err := os.Chmod(root+"/script", 0o755); err != nil {
		t.Fatal(err)
	}
	master, terminal := newTerminal(t)
	for from, name := range map[string]string{terminal: "/dev/console", "/dev/null": "/dev/null"} {
		write(t, root+name, "")
		if err := unix.Mount(from, root+name, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	// While nobody has the terminal open, its master returns errors.
	open, err := os.OpenFile(terminal, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() { text <- readAll(master) }()
	return func() string {
		open.Close()
		defer master.Close()
		return <-text
	}
}

// newTerminal returns the master of a new pseudoterminal and the path of the terminal.
func newTerminal(t *testing.T) (master *os.File, path string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, fmt.Sprint("/dev/pts/", number)
}

// readAll returns what is written to a terminal until it is closed.
func readAll(master *os.File) string {
	var text []byte
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		text = append(text, buf[:n]...)
		if err != nil {
			return strings.ReplaceAll(string(text), "\r\n", "\n")
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// write writes a file and makes its directories.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
