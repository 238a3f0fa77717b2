package os

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("ENVIRON") != "" { // a child of TestEnviron
		Stdout.WriteString(strings.Join(Environ(), "\n"))
		Exit(0)
	}
	if os.Getenv("WRITE") != "" { // a child of TestBrokenPipe
		for {
			if _, err := Stdout.WriteString("x"); err != nil {
				Exit(3)
			}
		}
	}
	os.Exit(m.Run())
}

func TestArgs(t *testing.T) {
	if !slices.Equal(Args, os.Args) {
		t.Errorf("Args = %q, want %q", Args, os.Args)
	}
}

func TestEnviron(t *testing.T) {
	want := []string{"ENVIRON=1", "A=1", "A=2", "=", "B", "C=\xff="}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	child, err := syscall.ForkExec("/proc/self/exe", os.Args[:1], &syscall.ProcAttr{Env: want, Files: []uintptr{0, out.Fd(), 2}})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(child, &status, 0, nil); err != nil || status != 0 {
		t.Fatalf("the child ended with %v, %v", status, err)
	}
	got, err := os.ReadFile(out.Name())
	if err != nil || string(got) != strings.Join(want, "\n") {
		t.Errorf("Environ() = %q, %v, want %q", got, err, want)
	}
}

// pipe returns a pipe's ends, which do not block if asked so.
func pipe(t *testing.T, flags int) (r, w File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], flags|syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return File(fds[0]), File(fds[1])
}

// What is written arrives, more than a pipe holds too, and then there is an end.
func TestReadWrite(t *testing.T) {
	for _, flags := range []int{0, syscall.O_NONBLOCK} {
		r, w := pipe(t, flags)
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() {
			if n, err := w.Write(want); n != len(want) || err != nil {
				t.Errorf("Write() = %d, %v, want %d", n, err, len(want))
			}
			syscall.Close(int(w))
		}()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadAll() = %d bytes, %v, want %d", len(got), err, len(want))
		}
		syscall.Close(int(r))
	}
}

func TestErrors(t *testing.T) {
	r, w := pipe(t, 0)
	syscall.Close(int(r))
	defer syscall.Close(int(w))
	if _, err := w.WriteString("x"); !errors.Is(err, syscall.EPIPE) || !strings.HasPrefix(err.Error(), "write descriptor ") {
		t.Errorf("Write to nobody = %v, want EPIPE", err)
	}
	if _, err := w.Read(make([]byte, 1)); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Read of a writing end = %v, want EBADF", err)
	}
	if got, want := (&Error{"write", Stdout, syscall.ENOSPC}).Error(), "write standard output: no space left on device"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

// A program whose output nobody reads ends as any other program does.
func TestBrokenPipe(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WRITE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGPIPE {
		t.Errorf("the program ended with %v, want SIGPIPE", cmd.ProcessState)
	}
}
