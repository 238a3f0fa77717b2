package exec

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/poweroff"
)

// prepareStreams puts the standard streams in place, and closes the other descriptors if
// CloseOthers is set.
func (s *Spec) prepareStreams(im *image) {
	tty, console := -1, -1
	for i, fd := range descriptors(s.Streams) {
		var st unix.Stat_t
		err := unix.Fstat(fd, &st)
		isDevice := err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR
		isPipe := err == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
		if isDevice && st.Rdev == unix.Mkdev(5, 1) && s.Console != "" { // /dev/console
			if console < 0 {
				s.openConsole(im, i)
				tty, console = i, i
			} else {
				im.do(streamsOp, unix.SYS_DUP3, uintptr(console), uintptr(i))
			}
			continue
		}
		if err == unix.EBADF {
			// open(2) takes the lowest free descriptor. It is this one, because those below are
			// open.
			im.try(unix.SYS_CLOSE, uintptr(i))
			im.do(streamsOp, unix.SYS_OPENAT, 0, im.text("/dev/null"), unix.O_RDWR)
			continue
		}
		if fd != i {
			im.do(streamsOp, unix.SYS_DUP3, uintptr(fd), uintptr(i))
		}
		if isPipe && s.SetUser {
			// The user may open it anew, as /dev/stdout. It works without that.
			_ = unix.Fchown(fd, int(s.Process.User.UID), int(s.Process.User.GID))
		}
		if !isDevice || st.Rdev == unix.Mkdev(1, 3) { // /dev/null
			continue
		}
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil && tty < 0 {
			tty = i
		}
		if uid := s.Process.User.UID; s.SetUser && uid != st.Uid {
			_ = unix.Fchown(fd, int(uid), -1) // as for a pipe
		}
	}
	if tty >= 0 && s.NewSession {
		// 1 takes the terminal from a session that has it. The program can run without a
		// terminal.
		im.try(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSCTTY, 1)
	}
	if tty >= 0 && s.Foreground {
		// All signals are blocked, also SIGTTOU, without which the kernel refuses it.
		im.try(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSPGRP, im.keep(unsafe.Pointer(&im.pid)))
	}
	if s.CloseOthers {
		// This process's own descriptors close on execution; the others were left open by whoever
		// started it. Kernels before 5.11 don't know the flag.
		im.try(unix.SYS_CLOSE_RANGE, 3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	}
	for _, fd := range s.Inherit {
		im.do("pass descriptors on", unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, 0)
	}
}

// mostOpenFiles returns the sysctl fs.nr_open, above which the kernel refuses a limit RLIMIT_NOFILE.
func mostOpenFiles() uint64 {
	text, _ := os.ReadFile("/proc/sys/fs/nr_open")
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return oci.MaxOpenFiles
	}
	return n
}

// descriptors returns the descriptors that Spec.Streams stands for.
func descriptors(streams [3]int) [3]int {
	for i, fd := range streams {
		if fd == 0 {
			streams[i] = i
		}
	}
	return streams
}

const streamsOp = "put the standard streams in place"

// openConsole opens the console's own device as the standard stream fd. This process must not
// have it open: when the program, which leads its session, ends, all descriptors of the terminal
// are dead and output that was not yet written is lost. That does not hold for descriptors of
// /dev/console.
func (s *Spec) openConsole(im *image, fd int) {
	im.try(unix.SYS_CLOSE, uintptr(fd))
	// A serial line may wait for a carrier without O_NONBLOCK.
	im.do(streamsOp, unix.SYS_OPENAT, 0, im.text(s.Console),
		unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
	im.do(streamsOp, unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL, unix.O_RDWR)
	if s.SetUser {
		_ = unix.Chown(s.Console, int(s.Process.User.UID), -1)
	}
}

// prepareScheduling sets when and where the program runs, and whether it is killed for its
// memory. A process with the policy SCHED_DEADLINE must be allowed to run on all CPUs; the kernel
// reports it if ExecCPUAffinity does not allow that.
func (s *Spec) prepareScheduling(im *image) error {
	p := &s.Process
	if p.OOMScoreAdj != nil {
		score := strconv.Itoa(*p.OOMScoreAdj)
		op, path := "set oom_score_adj "+score, im.text("/proc/self/oom_score_adj")
		im.do(op, unix.SYS_OPENAT, 0, path, unix.O_WRONLY|unix.O_CLOEXEC)
		im.do(op, unix.SYS_WRITE, 0, im.text(score), uintptr(len(score))).useResult = true
	}
	if a := p.ExecCPUAffinity; a != nil {
		op := "set the CPUs " + a.Final
		cpus, ok := oci.ParseCPUs(a.Final)
		if !ok {
			return &StartError{Op: op, Err: errors.New("malformed list"), Code: poweroff.InitFailed}
		}
		if cpus != (oci.CPUs{}) {
			im.do(op, unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(cpus),
				im.keep(unsafe.Pointer(&cpus)))
		}
	}
	if p.Scheduler != nil {
		op := "set the scheduler " + oci.FormatScheduler(*p.Scheduler)
		attr, err := s.schedAttr()
		if err != nil {
			return &StartError{Op: op, Err: err, Code: poweroff.InitFailed}
		}
		im.do(op, unix.SYS_SCHED_SETATTR, 0, im.keep(unsafe.Pointer(attr)), 0)
	}
	if io := p.IOPriority; io != nil {
		op := "set the I/O priority " + oci.FormatIOPriority(*io)
		class, ok := oci.ParseIOClass(string(io.Class))
		if !ok || io.Priority < 0 || io.Priority > 7 {
			return &StartError{Op: op, Err: unix.EINVAL, Code: poweroff.InitFailed}
		}
		const whoProcess, classShift = 1, 13 // IOPRIO_WHO_PROCESS and IOPRIO_CLASS_SHIFT of Linux
		im.do(op, unix.SYS_IOPRIO_SET, whoProcess, 0,
			uintptr(class)<<classShift|uintptr(io.Priority))
	}
	return nil
}

func (s *Spec) schedAttr() (*unix.SchedAttr, error) {
	c := s.Process.Scheduler
	policy, ok := oci.ParsePolicy(string(c.Policy))
	if !ok {
		return nil, fmt.Errorf("unknown policy %q", c.Policy)
	}
	attr := &unix.SchedAttr{
		Size:     unix.SizeofSchedAttr,
		Policy:   policy,
		Nice:     c.Nice,
		Priority: uint32(c.Priority),
		Runtime:  c.Runtime,
		Deadline: c.Deadline,
		Period:   c.Period,
	}
	for _, name := range c.Flags {
		flag, ok := oci.ParseSchedulerFlag(string(name))
		if !ok {
			return nil, fmt.Errorf("unknown flag %q", name)
		}
		attr.Flags |= flag
	}
	return attr, nil
}

// prepareIdentity sets user, groups, capabilities and no_new_privs.
func (s *Spec) prepareIdentity(im *image) error {
	p := &s.Process
	var sets oci.Capabilities
	capabilitiesOp := "set the capabilities"
	if p.Capabilities != nil {
		var err error
		if sets, err = oci.ParseCapabilities(*p.Capabilities); err != nil {
			return &StartError{Op: capabilitiesOp, Err: err, Code: poweroff.InitFailed}
		}
		capabilitiesOp += " " + strings.Join(p.Capabilities.Permitted, ",")
		im.dropBounding(sets.Bounding)
		// Without this flag, setresuid(2) clears the sets from which capset(2) chooses.
		im.do(capabilitiesOp, unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	}
	if s.SetUser {
		im.setUser(p.User.UID, p.User.GID, p.User.AdditionalGids)
	}
	if p.Capabilities != nil {
		header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := new([2]unix.CapUserData)
		for i := range data {
			data[i] = unix.CapUserData{
				Effective:   uint32(sets.Effective >> (32 * i)),
				Permitted:   uint32(sets.Permitted >> (32 * i)),
				Inheritable: uint32(sets.Inheritable >> (32 * i)),
			}
		}
		im.do(capabilitiesOp, unix.SYS_CAPSET, im.keep(unsafe.Pointer(header)),
			im.keep(unsafe.Pointer(data)))
		im.do(capabilitiesOp, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
		im.raiseAmbient(sets.Ambient)
	}
	if p.NoNewPrivileges {
		im.do("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	return nil
}

// dropBounding leaves only the given capabilities in the bounding set.
func (im *image) dropBounding(keep oci.CapabilitySet) {
	for number := range 64 {
		if keep.Has(number) {
			continue
		}
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0)
		if err == nil && has != 0 {
			op := "drop " + oci.CapabilityName(number) + " from the bounding set"
			im.do(op, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(number))
		}
	}
}

// raiseAmbient adds capabilities to the empty ambient set. It leaves out those that this kernel
// does not have.
func (im *image) raiseAmbient(set oci.CapabilitySet) {
	for number := range 64 {
		if !set.Has(number) {
			continue
		}
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0); err == nil {
			im.do("set the ambient capability "+oci.CapabilityName(number), unix.SYS_PRCTL,
				unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(number))
		}
	}
}

// isOutsideRoot reports whether the working directory can't be reached from the root, getcwd(2).
func isOutsideRoot() bool {
	_, err := unix.Getwd()
	return err == unix.ENOENT
}
