package probe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// onMainThread calls f on the main thread. The other threads do not have all of its attributes.
func onMainThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.Gettid() == unix.Getpid() {
			f()
		} else {
			onMainThread(f) // this thread is locked, so that another one is used
		}
	}()
	<-done
}

// put sets a field to value or, if err is not nil, to the error.
func (s State) put(field string, value any, err error) {
	if err != nil {
		value = "error: " + err.Error()
	}
	s[field] = fmt.Sprint(value)
}

// descriptors records the descriptors that were open when the program was executed: those without
// the close-on-exec flag.
func (s State) descriptors() {
	dir, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.put("descriptors", "", err)
		return
	}
	defer unix.Close(dir)
	var names []string
	buf := make([]byte, 4096)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if err != nil || n == 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	var open []string
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		open = append(open, name)
		s.descriptor(fd)
	}
	s["descriptors"] = strings.Join(open, " ")
}

func (s State) descriptor(fd int) {
	field := func(name string) string { return fmt.Sprint("descriptor ", fd, " ", name) }
	link := fmt.Sprint("/proc/self/fd/", fd)
	target, err := os.Readlink(link)
	target, _, _ = strings.Cut(target, ":[") // without the inode number of a pipe
	s.put(field("target"), target, err)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	flags &= unix.O_ACCMODE | unix.O_APPEND | unix.O_NONBLOCK | unix.O_SYNC | unix.O_DIRECT |
		unix.O_PATH
	s.put(field("flags"), fmt.Sprintf("%#o", flags), err)
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	s.put(field("terminal"), err == nil, nil)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	s.put(field("type"), kind(&st), err)
	s.put(field("permissions"), permissions(&st), err)
	s.put(field("user"), st.Uid, err)
	s.put(field("group"), st.Gid, err)
	// Programs open descriptors in this way by /dev/stdin, /dev/stdout and /dev/stderr.
	flags = flags&unix.O_ACCMODE | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	again, err := unix.Open(link, flags, 0)
	if err == nil {
		unix.Close(again)
	}
	s.put(field("opens again"), err == nil, err)
}

// kind returns the type of a file, with the device number if it is a device.
func kind(st *unix.Stat_t) string {
	name := map[uint32]string{
		unix.S_IFCHR:  "char",
		unix.S_IFBLK:  "block",
		unix.S_IFDIR:  "directory",
		unix.S_IFIFO:  "fifo",
		unix.S_IFREG:  "file",
		unix.S_IFSOCK: "socket",
		unix.S_IFLNK:  "link",
	}[st.Mode&unix.S_IFMT]
	if name == "char" || name == "block" {
		name += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	return name
}

func permissions(st *unix.Stat_t) string { return fmt.Sprintf("%04o", st.Mode&0o7777) }

// describe returns type, permissions and owners of a file.
func describe(st *unix.Stat_t) string {
	return fmt.Sprintf("%s %s %d:%d", kind(st), permissions(st), st.Uid, st.Gid)
}

// terminal records the state of the controlling terminal.
func (s State) terminal() {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0)
	s.put("terminal", err == nil, nil)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err == nil {
		s["terminal rows"], s["terminal columns"] = fmt.Sprint(size.Row), fmt.Sprint(size.Col)
	}
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	s.put("terminal in foreground", group == unix.Getpgrp(), err)
	if modes, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		s["terminal modes"] = fmt.Sprintf("input %#o, output %#o, local %#o",
			modes.Iflag, modes.Oflag, modes.Lflag)
	}
}

// process records IDs, arguments, environment, directories and control group of the process.
func (s State) process() {
	pid := unix.Getpid()
	own := func(id int) string {
		if id == pid {
			return "own"
		}
		return strconv.Itoa(id)
	}
	s["process ID"], s["parent"] = strconv.Itoa(pid), strconv.Itoa(unix.Getppid())
	s["process group"] = own(unix.Getpgrp())
	session, err := unix.Getsid(0)
	s.put("session", own(session), err)

	args, err := os.ReadFile("/proc/self/cmdline")
	s.put("arguments", strconv.QuoteToASCII(string(args)), err)
	env, err := os.ReadFile("/proc/self/environ")
	s.put("environment", err == nil, err)
	for i, entry := range strings.Split(string(env), "\x00") {
		name, value, isVariable := strings.Cut(entry, "=")
		name = strings.Trim(strconv.QuoteToASCII(name), `"`)
		switch _, again := s["variable "+name]; {
		case isVariable && !again:
			s["variable "+name] = strconv.QuoteToASCII(value)
		case entry != "":
			s[fmt.Sprint("environment entry ", i)] = strconv.QuoteToASCII(entry)
		}
	}

	for field, link := range map[string]string{"working directory": "cwd", "root": "root"} {
		target, err := os.Readlink("/proc/self/" + link)
		s.put(field, target, err)
		var st unix.Stat_t
		err = unix.Stat("/proc/self/"+link, &st)
		s.put(field+" file", describe(&st), err)
	}
	for _, name := range []string{"oom_score_adj", "coredump_filter"} {
		b, err := os.ReadFile("/proc/self/" + name)
		s.put(name, strings.TrimSpace(string(b)), err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	s.put("control group", err == nil, err)
	for line := range strings.Lines(string(groups)) {
		if path, found := strings.CutPrefix(line, "0::"); found { // version 2
			s["control group"] = strings.TrimSuffix(path, "\n")
		}
	}
}

// status records /proc/thread-self/status, except for the ignored and caught signals. Go's runtime
// changes both.
func (s State) status() {
	b, err := os.ReadFile("/proc/thread-self/status")
	s.put("status", err == nil, err)
	s.parse(string(b))
	delete(s, "signals ignored")
	delete(s, "signals caught")
}

// limits records the limits of a child process. Go's runtime restores the original limit on open
// files for children.
func (s State) limits() {
	out, err := exec.Command("/bin/busybox", "cat", "/proc/self/limits").Output()
	s.put("limits", err == nil, err)
	s.parse(string(out))
}

// attributes records attributes of prctl(2) and personality(2) that execve(2) preserves.
func (s State) attributes() {
	for field, option := range map[string]int{
		"dumpable":            unix.PR_GET_DUMPABLE,
		"keep capabilities":   unix.PR_GET_KEEPCAPS,
		"secure bits":         unix.PR_GET_SECUREBITS,
		"timer slack":         unix.PR_GET_TIMERSLACK,
		"huge pages disabled": unix.PR_GET_THP_DISABLE,
	} {
		value, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		s.put(field, value, err)
	}
	for field, option := range map[string]int{
		"parent death signal": unix.PR_GET_PDEATHSIG,
		"child subreaper":     unix.PR_GET_CHILD_SUBREAPER,
	} {
		value, err := prctlInt(option)
		s.put(field, value, err)
	}
	const query = 0xffffffff
	personality, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, query, 0, 0)
	s.put("personality", fmt.Sprintf("%#x", personality), orNil(errno))
}

// scheduling records the attributes of sched_setattr(2) and ioprio_set(2).
func (s State) scheduling() {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		s.put("scheduler", "", err)
	} else {
		s["scheduler"] = fmt.Sprintf("policy %d, flags %#x, nice %d, priority %d, deadline %d",
			attr.Policy, attr.Flags, attr.Nice, attr.Priority, attr.Deadline)
	}
	const whoProcess, classShift = 1, 13
	priority, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, whoProcess, 0, 0)
	value := fmt.Sprintf("class %d, level %d", priority>>classShift, priority&7)
	s.put("I/O priority", value, orNil(errno))
}

// orNil returns errno as an error, nil if it is 0.
func orNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// sysctl records the value of a kernel parameter.
func (s State) sysctl(name string) {
	b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	s.put("sysctl "+name, strings.Join(strings.Fields(string(b)), " "), err)
}

// path records whether a file or directory can be read, is empty, and can be written.
func (s State) path(path string) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		s.put("path "+path, "", err)
		return
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		entries, err := os.ReadDir(path)
		s.put("path "+path+" empty", len(entries) == 0, err)
		s.put("path "+path+" writable", true, tryDirectory(path))
		return
	}
	n, err := readSome(path)
	s.put("path "+path+" empty", n == 0, err)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	s.put("path "+path+" writable", true, err)
}

// readSome reads one byte of a file, which may be infinite or have no data yet. It returns 0 at the
// end of the file.
func readSome(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Read(fd, make([]byte, 1))
}

// tryDirectory returns an error if a directory cannot be created and removed in path.
func tryDirectory(path string) error {
	name := filepath.Join(path, ".probe")
	if err := unix.Mkdir(name, 0o700); err != nil {
		return err
	}
	return unix.Rmdir(name)
}

// names records the host name and the files that map names to addresses.
func (s State) names() {
	var u unix.Utsname
	err := unix.Uname(&u)
	s.put("host name", unix.ByteSliceToString(u.Nodename[:]), err)
	s.put("domain name", unix.ByteSliceToString(u.Domainname[:]), err)
	for _, path := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		b, err := os.ReadFile(path)
		s.put("file "+path, strconv.Quote(string(b)), err)
	}
}

// sorted sorts words and returns them separated by spaces.
func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, " ")
}
