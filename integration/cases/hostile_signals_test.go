package cases

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noCapabilities is a configuration for a workload of a user without capabilities.
const noCapabilities = `{"process": {"user": {"uid": %d, "gid": %[1]d}, "capabilities": {}}}`

// A way is a way to send a signal to process 1, or to one of its threads. Value says how, where there
// are several.
type way struct {
	name   string
	values []int
	send   func(value, thread int, sig unix.Signal) error
}

// siginfo is the beginning of siginfo_t.
type siginfo struct {
	signal, errno, code, _ int32
	_                      [14]uint64
}

// Some of the codes that a process can send by sigqueueinfo(2): SI_QUEUE, SI_TIMER, SI_SIGIO.
var siCodes = []int{-1, -2, -5}

var ways = []way{
	{"kill", []int{0}, func(_, _ int, sig unix.Signal) error { return unix.Kill(1, sig) }},
	{"tgkill", []int{0}, func(_, thread int, sig unix.Signal) error { return unix.Tgkill(1, thread, sig) }},
	{"pidfd_send_signal", []int{0}, func(_, _ int, sig unix.Signal) error {
		fd, err := unix.PidfdOpen(1, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.PidfdSendSignal(fd, sig, nil, 0)
	}},
	{"sigqueue, si_code", siCodes, func(code, _ int, sig unix.Signal) error {
		info := siginfo{signal: int32(sig), code: int32(code)}
		return errno(unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, 1, uintptr(sig), uintptr(unsafe.Pointer(&info))))
	}},
	{"tgsigqueue, si_code", siCodes, func(code, thread int, sig unix.Signal) error {
		info := siginfo{signal: int32(sig), code: int32(code)}
		return errno(unix.Syscall6(unix.SYS_RT_TGSIGQUEUEINFO, 1, uintptr(thread), uintptr(sig),
			uintptr(unsafe.Pointer(&info)), 0, 0))
	}},
	{"F_SETSIG", []int{0}, func(_, _ int, sig unix.Signal) error {
		return byPipe(sig, func(fd uintptr) error {
			_, err := unix.FcntlInt(fd, unix.F_SETOWN, 1)
			return err
		})
	}},
	{"F_SETSIG, F_SETOWN_EX", []int{0}, func(_, thread int, sig unix.Signal) error {
		return byPipe(sig, func(fd uintptr) error {
			owner := struct{ kind, id int32 }{0, int32(thread)} // F_OWNER_TID
			return errno(unix.Syscall(unix.SYS_FCNTL, fd, unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner))))
		})
	}},
}

func errno(_, _ uintptr, err unix.Errno) error {
	if err != 0 {
		return err
	}
	return nil
}

// byPipe has the kernel send a signal to the owner of a pipe, because the pipe can be read.
func byPipe(sig unix.Signal, own func(fd uintptr) error) error {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	fd := uintptr(pipe[0])
	if err := own(fd); err != nil {
		return err
	}
	_, err1 := unix.FcntlInt(fd, unix.F_SETSIG, int(sig))
	_, err2 := unix.FcntlInt(fd, unix.F_SETFL, unix.O_ASYNC)
	_, err3 := unix.Write(pipe[1], []byte("x"))
	return errors.Join(err1, err2, err3)
}

// hostileGuest sends process 1 all signals but stop requests, in every way, and exits with code 9. As
// root it expects that the workload gets them, except for those that concern process 1 itself.
var hostileGuest = inGuest("hostile", func(t *testing.T) {
	if status, err := os.ReadFile("/proc/self/status"); err != nil ||
		!strings.Contains(string(status), "\nCapEff:\t0000000000000000\n") {
		t.Fatalf("capabilities in %s, %v, want none", status, err)
	}
	received := make(chan os.Signal, 1000)
	signal.Notify(received)
	var threads []int
	entries, err := os.ReadDir("/proc/1/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		thread, _ := strconv.Atoi(entry.Name())
		threads = append(threads, thread)
	}
	for _, w := range ways {
		for _, value := range w.values {
			for i := 1; i <= 64; i++ {
				sig := unix.Signal(i)
				if sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGPWR {
					continue
				}
				err := w.send(value, threads[i%len(threads)], sig)
				if os.Getuid() != 0 {
					continue // the kernel refuses it, or sends nothing
				}
				if err != nil {
					t.Errorf("%s %d, signal %d: %v", w.name, value, i, err)
				}
				switch sig {
				case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG,
					unix.SIGPROF, 32, 33, 34:
				default:
					await(t, received, sig, fmt.Sprintf("by %s %d", w.name, value))
				}
			}
		}
	}
	for range 5_000 {
		_ = unix.Kill(1, unix.SIGPROF)
		_ = unix.Kill(1, unix.SIGURG)
	}
	// The limits of process 1 would be another way.
	for _, limit := range []int{unix.RLIMIT_CPU, unix.RLIMIT_NOFILE, unix.RLIMIT_AS} {
		if err := unix.Prlimit(1, limit, &unix.Rlimit{}, nil); err != unix.EPERM {
			t.Errorf("prlimit of process 1, resource %d: %v, want EPERM", limit, err)
		}
	}
	if !t.Failed() {
		os.Exit(9)
	}
})

// await waits for a signal, and drops others, such as Go's own SIGURG.
func await(t *testing.T, received <-chan os.Signal, want os.Signal, how string) {
	t.Helper()
	for timeout := time.After(30 * time.Second); ; {
		select {
		case got := <-received:
			if got == want {
				return
			}
		case <-timeout:
			t.Errorf("%v to process 1 %s did not reach the workload", want, how)
			return
		}
	}
}

// TestHostileSignals sends process 1 every signal in every way that Linux has, from root without
// capabilities and from another user. Process 1 goes on, and reports the workload's exit code.
func TestHostileSignals(t *testing.T) {
	for _, uid := range []int{0, 1000} {
		t.Run(strconv.Itoa(uid), func(t *testing.T) {
			eachArch(t, func(t *testing.T, arch string) {
				cfg := withBusybox(t, arch)
				hostileGuest.addTo(t, &cfg)
				cfg.GuestConfig = fmt.Appendf(nil, noCapabilities, uid)
				cfg.Deadline = 3 * time.Minute
				wantConsole(t, run(t, cfg, 9), "")
			})
		})
	}
}
