package exec

import (
	"math"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
)

// step is a part of starting a program that can fail.
type step int32

const (
	stepFork step = iota + 1
	stepSession
	stepStreams
	stepOOMScore
	stepCPUs
	stepScheduler
	stepIOPriority
	stepLimits
	stepBounding
	stepGroups
	stepGID
	stepUID
	stepCapabilities
	stepAmbient
	stepNoNewPrivileges
	stepSignals
	stepExec
)

// prepare makes the list of system calls. Their order is that of what a step still needs: the terminal, the scheduler and
// raised limits need root's rights; groups and the bounding set need those of the old identity; the other capabilities are
// lost with that, but for those that are kept to choose from; and the signal mask opens when the handlers are gone.
func (s *Spec) prepare(im *image) {
	if s.NewSession {
		// EPERM says that this process leads its group, and so has a session already.
		im.try(stepSession, unix.SYS_SETSID)
	}
	s.prepareStreams(im)
	if s.CloseOthers {
		// Ours close by themselves; these are what somebody left to us. Kernels before 5.11 don't know the call.
		im.try(stepStreams, unix.SYS_CLOSE_RANGE, 3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	}
	if u := s.User; u != nil && u.Umask != nil {
		im.do(stepUID, unix.SYS_UMASK, uintptr(*u.Umask))
	}
	if s.OOMScoreAdj != nil {
		// By name, for a number of this process it would be the parent's. The descriptor closes with execution.
		score := []byte(strconv.Itoa(*s.OOMScoreAdj))
		im.do(stepOOMScore, unix.SYS_OPENAT, 0, im.text("/proc/self/oom_score_adj"), unix.O_WRONLY|unix.O_CLOEXEC)
		im.do(stepOOMScore, unix.SYS_WRITE, 0, im.keep(unsafe.Pointer(&score[0])), uintptr(len(score))).useResult = true
	}
	s.prepareScheduling(im)
	s.prepareLimits(im)
	s.prepareIdentity(im)
	if s.NoNewPrivileges {
		im.do(stepNoNewPrivileges, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	im.do(stepSignals, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, im.keep(unsafe.Pointer(new(uint64))), 0, 8)
}

// prepareStreams puts the standard streams in place. One that is closed becomes /dev/null.
func (s *Spec) prepareStreams(im *image) {
	tty, console := -1, -1
	for i, fd := range s.Streams {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		if err == nil && st.Rdev == unix.Mkdev(5, 1) && st.Mode&unix.S_IFMT == unix.S_IFCHR && s.Console != "" {
			if console < 0 {
				s.prepareConsole(im, i)
				tty, console = i, i
			} else {
				im.do(stepStreams, unix.SYS_DUP3, uintptr(console), uintptr(i))
			}
			continue
		}
		if err == unix.EBADF {
			// The lower ones are open by now: this is the one that open(2) takes.
			im.try(stepStreams, unix.SYS_CLOSE, uintptr(i))
			im.do(stepStreams, unix.SYS_OPENAT, 0, im.text("/dev/null"), unix.O_RDWR)
			continue
		}
		if fd != i {
			im.do(stepStreams, unix.SYS_DUP3, uintptr(fd), uintptr(i))
		}
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev == unix.Mkdev(1, 3) {
			continue
		}
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil && tty < 0 {
			tty = i
		}
		if s.User != nil && s.User.UID != st.Uid {
			// A terminal or port is the user's, who may open it anew by /dev/stdout. A root that can't, can't.
			_ = unix.Fchown(fd, int(s.User.UID), -1)
		}
	}
	if tty >= 0 && s.NewSession {
		// 1: taken from the session that has it, if any. Without a terminal the program can still run.
		im.try(stepStreams, unix.SYS_IOCTL, uintptr(tty), unix.TIOCSCTTY, 1)
	}
}

// prepareConsole opens the console's own device as a standard stream. This process must not have it: when the program ends, the
// first of its session, all descriptors of its terminal are dead, and what was not yet written to it is lost, but for those of
// /dev/console.
func (s *Spec) prepareConsole(im *image, fd int) {
	im.try(stepStreams, unix.SYS_CLOSE, uintptr(fd))
	// Without O_NONBLOCK a serial line may wait for a carrier.
	im.do(stepStreams, unix.SYS_OPENAT, 0, im.text(s.Console), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
	im.do(stepStreams, unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL, unix.O_RDWR)
	if s.User != nil {
		_ = unix.Chown(s.Console, int(s.User.UID), -1)
	}
}

// prepareScheduling is about when and where the program runs. SCHED_DEADLINE is for a process that may run on all CPUs: the
// kernel is to say so, if it does not go together.
func (s *Spec) prepareScheduling(im *image) {
	if s.CPUs != (oci.CPUs{}) {
		cpus := s.CPUs
		im.do(stepCPUs, unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(cpus), im.keep(unsafe.Pointer(&cpus)))
	}
	if c := s.Scheduler; c != nil {
		attr := &unix.SchedAttr{
			Size:     unix.SizeofSchedAttr,
			Policy:   uint32(c.Policy),
			Flags:    uint64(c.Flags),
			Nice:     c.Nice,
			Priority: uint32(c.Priority),
			Runtime:  c.Runtime,
			Deadline: c.Deadline,
			Period:   c.Period,
		}
		im.do(stepScheduler, unix.SYS_SCHED_SETATTR, 0, im.keep(unsafe.Pointer(attr)), 0)
	}
	if p := s.IOPriority; p != nil {
		const whoProcess, classShift = 1, 13 // IOPRIO_WHO_PROCESS and IOPRIO_CLASS_SHIFT of Linux
		im.do(stepIOPriority, unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(p.Class)<<classShift|uintptr(p.Priority))
	}
}

func (s *Spec) prepareLimits(im *image) {
	im.limits = append(append(im.limits, s.Limits...), s.wanted()...)
	for i, l := range im.limits {
		value := &unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		c := im.do(stepLimits, unix.SYS_PRLIMIT64, 0, uintptr(l.Resource), im.keep(unsafe.Pointer(value)))
		c.index, c.optional = int32(i), i >= len(s.Limits)
	}
}

// prepareIdentity gives the program its user, groups and capabilities.
func (s *Spec) prepareIdentity(im *image) {
	var known oci.CapabilitySet // to this kernel
	if s.Capabilities != nil {
		for number := range 64 {
			has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0)
			if err != nil {
				break
			}
			known |= 1 << number
			if has != 0 && !s.Capabilities.Bounding.Has(number) {
				im.do(stepBounding, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(number)).index = int32(number)
			}
		}
		im.do(stepCapabilities, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1) // until it is executed
	}
	if u := s.User; u != nil {
		groups := unsafe.Pointer(unsafe.SliceData(u.AdditionalGIDs))
		im.do(stepGroups, unix.SYS_SETGROUPS, uintptr(len(u.AdditionalGIDs)), im.keep(groups))
		gid, uid := uintptr(u.GID), uintptr(u.UID)
		im.do(stepGID, unix.SYS_SETRESGID, gid, gid, gid)
		im.do(stepUID, unix.SYS_SETRESUID, uid, uid, uid)
	}
	if c := s.Capabilities; c != nil {
		header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := new([2]unix.CapUserData)
		for i := range data {
			data[i] = unix.CapUserData{
				Effective:   uint32(c.Effective >> (32 * i)),
				Permitted:   uint32(c.Permitted >> (32 * i)),
				Inheritable: uint32(c.Inheritable >> (32 * i)),
			}
		}
		im.do(stepCapabilities, unix.SYS_CAPSET, im.keep(unsafe.Pointer(header)), im.keep(unsafe.Pointer(data)))
		im.do(stepCapabilities, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		for number := range 64 {
			if (c.Ambient & known).Has(number) {
				raise := im.do(stepAmbient, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(number), 0, 0)
				raise.index = int32(number)
			}
		}
	}
}

// do adds a system call, without which the program does not start.
func (im *image) do(step step, number uintptr, args ...uintptr) *call {
	im.calls = append(im.calls, call{number: number, step: step})
	c := &im.calls[len(im.calls)-1]
	copy(c.args[:], args)
	return c
}

// try adds a system call that may fail.
func (im *image) try(step step, number uintptr, args ...uintptr) {
	im.do(step, number, args...).optional = true
}

// keep returns a pointer as an argument for a system call. What it points to is on the heap, where nothing moves, and stays
// there as long as the image.
func (im *image) keep(p unsafe.Pointer) uintptr {
	im.kept = append(im.kept, p)
	return uintptr(p)
}

// text returns a string as an argument for a system call.
func (im *image) text(s string) uintptr {
	b := append([]byte(s), 0)
	return im.keep(unsafe.Pointer(&b[0]))
}
