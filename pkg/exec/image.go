//go:build linux || freebsd

package exec

import (
	"fmt"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/poweroff"
)

// image is a Spec as system calls with their arguments in memory, because no memory can be
// allocated between fork and exec.
type image struct {
	calls      []call // give a process the state of the Spec
	candidates []string
	paths      []*byte // the candidates
	argv, envv []*byte
	cloneFlags uintptr // of clone(2)
	pid        int32   // of the child, which stores it
	timerSlack time.Duration

	resources []int            // whose limits calls sets
	kept      []unsafe.Pointer // what arguments of calls point to
}

// call is a system call.
type call struct {
	op        string // for errors: "set uid 7"
	number    uintptr
	args      [5]uintptr
	optional  bool // the program starts even if the call fails
	useResult bool // the first argument is the result of the call before
}

// failure is the system call that could not be carried out: calls[call] of the image or, if call
// is len(calls), the execution of candidates[path]. If errno is 0, nothing failed.
type failure struct {
	call, path int
	errno      syscall.Errno
}

// startError returns the failure f to start a program as a *StartError.
func (im *image) startError(program string, f failure) error {
	if f.call < len(im.calls) {
		return &StartError{Op: im.calls[f.call].op, Err: f.errno, Code: poweroff.InitFailed}
	}
	e := &StartError{
		Op:   fmt.Sprintf("execute %q", program),
		Err:  explain(f.errno, im.candidates, f.path),
		Code: poweroff.NotExecutable,
	}
	if f.errno == unix.ENOENT {
		e.Code = poweroff.NotFound
	}
	return e
}

// image returns the image that executes the first of the candidates that can be executed. An
// error is a *StartError.
func (s *Spec) image(candidates, args []string) (*image, error) {
	im := &image{candidates: candidates, timerSlack: s.TimerSlack}
	for _, list := range []struct {
		strings  []string
		pointers *[]*byte
	}{{candidates, &im.paths}, {args, &im.argv}, {s.Process.Env, &im.envv}} {
		var err error
		if *list.pointers, err = syscall.SlicePtrFromStrings(list.strings); err != nil {
			return nil, &StartError{
				Op:   fmt.Sprintf("execute %q", s.Process.Args[0]),
				Err:  fmt.Errorf("NUL byte in an argument or in the environment: %w", err),
				Code: poweroff.InitFailed,
			}
		}
	}
	im.paths = im.paths[:len(candidates)] // without the nil at the end
	if err := s.prepare(im); err != nil {
		return nil, err
	}
	return im, nil
}

// prepare makes the list of system calls. Each comes before the call that takes away the rights
// it needs: terminal, scheduler and higher limits need those of root; groups and the bounding set
// need those of the old user ID. No signal may arrive before its handler is gone, so the mask
// comes last.
func (s *Spec) prepare(im *image) error {
	u := &s.Process.User
	if s.PIDNamespace {
		if err := s.preparePIDNamespace(im); err != nil {
			return err
		}
	}
	if s.NewSession {
		im.try(unix.SYS_SETSID) // EPERM: this process leads a group, and so has a session already
	}
	if s.Foreground {
		im.try(unix.SYS_SETPGID, 0, 0)
	}
	s.prepareStreams(im)
	if s.SetUser && u.Umask != nil {
		im.do("set umask", unix.SYS_UMASK, uintptr(*u.Umask))
	}
	if err := s.prepareScheduling(im); err != nil {
		return err
	}
	if err := s.prepareLimits(im); err != nil {
		return err
	}
	if err := s.prepareIdentity(im); err != nil {
		return err
	}
	im.do("unblock signals", sysSigprocmask, sigSetmask, im.keep(unsafe.Pointer(new(sigset))), 0,
		sigsetSize)
	return nil
}

func (s *Spec) prepareLimits(im *image) error {
	required := len(s.Process.Rlimits)
	for i, l := range slices.Concat(s.Process.Rlimits, s.defaultRlimits()) {
		op := "set " + oci.FormatRlimit(l)
		if err := oci.ValidateRlimit(l); err != nil {
			return &StartError{Op: op, Err: err, Code: poweroff.InitFailed}
		}
		resource, _ := oci.ParseResource(l.Type)
		most := uint64(unix.RLIM_INFINITY) // FreeBSD's is less than Linux's
		if l.Type == "RLIMIT_NOFILE" {
			most = oci.MaxOpenFiles
			if i >= required {
				most = mostOpenFiles()
			}
		}
		// struct rlimit of both systems
		value := &[2]uint64{min(l.Soft, most), min(l.Hard, most)}
		c := im.do(op, unix.SYS_SETRLIMIT, uintptr(resource), im.keep(unsafe.Pointer(value)))
		c.optional = i >= required
		im.resources = append(im.resources, resource)
	}
	return nil
}

// setUser adds the calls that set user, group and additional groups.
func (im *image) setUser(uid, gid uint32, groups []uint32) {
	im.do("set the additional groups", unix.SYS_SETGROUPS, uintptr(len(groups)),
		im.keep(unsafe.Pointer(unsafe.SliceData(groups))))
	id := uintptr(gid)
	im.do(fmt.Sprintf("set gid %d", gid), unix.SYS_SETRESGID, id, id, id)
	id = uintptr(uid)
	im.do(fmt.Sprintf("set uid %d", uid), unix.SYS_SETRESUID, id, id, id)
}

// do adds a system call without which the program does not start. It is not
// inlined, because that adds 20 kB to the binary.
//
//go:noinline
func (im *image) do(op string, number uintptr, args ...uintptr) *call {
	im.calls = append(im.calls, call{op: op, number: number})
	c := &im.calls[len(im.calls)-1]
	copy(c.args[:], args)
	return c
}

// try adds a system call that may fail.
//
//go:noinline
func (im *image) try(number uintptr, args ...uintptr) {
	im.do("", number, args...).optional = true
}

// keep returns a pointer as an argument for a system call. What it points to must be on the heap,
// where nothing moves, and stays there as long as the image.
//
//go:noinline
func (im *image) keep(p unsafe.Pointer) uintptr {
	im.kept = append(im.kept, p)
	return uintptr(p)
}

// text returns a string as an argument for a system call. It must not contain a NUL byte.
//
//go:noinline
func (im *image) text(s string) uintptr {
	b := append([]byte(s), 0)
	return im.keep(unsafe.Pointer(&b[0]))
}
