package exec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// explain returns why execve(2) refused candidates[refused], in more detail than the errno.
func explain(errno syscall.Errno, candidates []string, refused int) error {
	path := candidates[refused]
	var st unix.Stat_t
	statErr := unix.Stat(path, &st)
	for _, other := range candidates {
		if errno == unix.ENOENT && statErr != nil { // others may lack only what they need to run
			path, statErr = other, unix.Stat(other, &st)
		}
	}
	head := readHead(path)
	switch {
	case errno == unix.ENOENT && statErr == nil && bytes.HasPrefix(head, []byte("#!")):
		return fmt.Errorf("%s exists, but its interpreter %s does not: %w",
			path, interpreter(head), errno)
	case errno == unix.ENOENT && statErr == nil:
		return fmt.Errorf("%s exists, but the dynamic loader it names does not: %w", path, errno)
	case errno == unix.ENOENT && len(candidates) > 1:
		return fmt.Errorf("not in PATH (%s): %w", searched(candidates), errno)
	case errno == unix.EACCES && statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("%s is a directory: %w", path, errno)
	case errno == unix.EACCES && statErr == nil && st.Mode&0o111 == 0:
		return fmt.Errorf("%s has no execute permission (mode 0%o): %w",
			path, st.Mode&0o7777, errno)
	case errno == unix.ENOEXEC && machine(head) != "":
		return fmt.Errorf("%s is a program for %s: %w", path, machine(head), errno)
	case errno == unix.ENOEXEC:
		return fmt.Errorf("%s is neither a program nor a script: %w", path, errno)
	case path != candidates[0] || len(candidates) > 1:
		return fmt.Errorf("%s: %w", path, errno)
	}
	return errno
}

// searched returns the directories of the candidates, as PATH has them.
func searched(candidates []string) string {
	dirs := make([]string, len(candidates))
	for i, c := range candidates {
		dirs[i] = c[:strings.LastIndexByte(c, '/')]
	}
	return strings.Join(dirs, ":")
}

// readHead returns the first bytes of a file, or nil if it can't be read.
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

// isScript reports whether a file that the kernel can't execute is text for a shell. By POSIX, the
// first line of text has no NUL byte.
func isScript(path string) bool {
	head := readHead(path)
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return head != nil && !bytes.ContainsRune(line, 0) && machine(head) == ""
}

// interpreter returns the program of a "#!" line.
func interpreter(head []byte) string {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	if f := bytes.Fields(line); len(f) > 0 {
		return string(f[0])
	}
	return "(none)"
}

// machine returns the name of the processor that an ELF file is for, e_machine of elf(5). It
// returns "" for another file.
func machine(head []byte) string {
	if len(head) < 20 || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return ""
	}
	number := binary.LittleEndian.Uint16(head[18:])
	if head[5] == 2 { // ELFDATA2MSB
		number = binary.BigEndian.Uint16(head[18:])
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
	return fmt.Sprintf("machine number %d of ELF", number)
}
