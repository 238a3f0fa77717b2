package exec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/poweroff"
)

func (s *Spec) startError(f failure, candidates []string) error {
	e := &StartError{Code: poweroff.InitFailed, Err: f.errno}
	switch f.step {
	case stepFork:
		e.Op = "fork"
	case stepStreams:
		e.Op = "put the standard streams in place"
	case stepOOMScore:
		e.Op = "set oom_score_adj " + strconv.Itoa(*s.OOMScoreAdj)
	case stepCPUs:
		e.Op = "set the CPUs " + s.CPUs.String()
	case stepScheduler:
		e.Op = "set the scheduler " + s.Scheduler.String()
	case stepIOPriority:
		e.Op = "set the I/O priority " + s.IOPriority.String()
	case stepLimits:
		e.Op = "set " + s.Limits[f.index].String()
	case stepBounding:
		e.Op = "drop " + capabilityName(f.index) + " from the bounding set"
	case stepGroups:
		e.Op = "set the additional groups"
	case stepGID:
		e.Op = "set gid " + utoa(s.User.GID)
	case stepUID:
		e.Op = "set uid " + utoa(s.User.UID)
	case stepCapabilities:
		e.Op = "set the capabilities " + strings.Join(s.Capabilities.Permitted.Names(), ",")
	case stepAmbient:
		e.Op = "set the ambient capability " + capabilityName(f.index)
	case stepNoNewPrivileges:
		e.Op = "set no_new_privs"
	case stepSignals:
		e.Op = "unblock signals"
	default:
		e.Op = "execute " + strconv.Quote(s.Args[0])
		e.Code = poweroff.NotExecutable
		if f.errno == unix.ENOENT {
			e.Code = poweroff.NotFound
		}
		e.Err = explain(f.errno, candidates, int(f.index))
	}
	return e
}

func capabilityName(number int32) string {
	return oci.CapabilitySet(1 << number).Names()[0]
}

// explain says in the user's terms why execve(2) refused a file, where its errno alone would puzzle.
func explain(errno syscall.Errno, candidates []string, failed int) error {
	path := candidates[failed]
	var st unix.Stat_t
	statErr := unix.Stat(path, &st)
	head := readHead(path)
	switch {
	case errno == unix.ENOENT && statErr == nil && bytes.HasPrefix(head, []byte("#!")):
		return fmt.Errorf("%s exists, but its interpreter %s does not: %w", path, interpreter(head), errno)
	case errno == unix.ENOENT && statErr == nil:
		return fmt.Errorf("%s exists, but the dynamic loader it names does not: %w", path, errno)
	case errno == unix.ENOENT && len(candidates) > 1:
		return fmt.Errorf("not in PATH (%s): %w", searched(candidates), errno)
	case errno == unix.EACCES && statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("%s is a directory: %w", path, errno)
	case errno == unix.EACCES && statErr == nil && st.Mode&0o111 == 0:
		return fmt.Errorf("%s has no execute permission (mode 0%s): %w", path, strconv.FormatUint(uint64(st.Mode&0o7777), 8), errno)
	case errno == unix.ENOEXEC && machine(head) != "":
		return fmt.Errorf("%s is a program for %s: %w", path, machine(head), errno)
	case errno == unix.ENOEXEC:
		return fmt.Errorf("%s is neither a program nor a script: %w", path, errno)
	case path != candidates[0] || len(candidates) > 1:
		return fmt.Errorf("%s: %w", path, errno)
	}
	return errno
}

// searched lists the directories in which the candidates were looked for.
func searched(candidates []string) string {
	dirs := make([]string, len(candidates))
	for i, c := range candidates {
		dirs[i] = c[:strings.LastIndexByte(c, '/')]
	}
	return strings.Join(dirs, ":")
}

// readHead returns the first bytes of a file, or nothing.
func readHead(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	head := make([]byte, 256)
	n, err := unix.Read(fd, head)
	if err != nil {
		return nil
	}
	return head[:n]
}

// isScript reports whether a file that the kernel can't execute is text for a shell: POSIX takes a file for that whose
// first line has no NUL byte.
func isScript(path string) bool {
	head := readHead(path)
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return head != nil && !bytes.ContainsRune(line, 0) && machine(head) == ""
}

// interpreter is the program of a #! line.
func interpreter(head []byte) string {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	if f := bytes.Fields(line); len(f) > 0 {
		return string(f[0])
	}
	return "(none)"
}

// machine names the processor of an ELF file (e_machine, elf(5)); "" for another file.
func machine(head []byte) string {
	if len(head) < 20 || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return ""
	}
	number := int(head[18]) | int(head[19])<<8
	if head[5] == 2 { // big-endian
		number = int(head[19]) | int(head[18])<<8
	}
	switch number {
	case 3:
		return "x86"
	case 40:
		return "arm"
	case 62:
		return "x86-64"
	case 183:
		return "arm64"
	case 243:
		return "riscv"
	}
	return "machine number " + strconv.Itoa(number) + " of ELF"
}
