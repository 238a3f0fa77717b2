package vm

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	kernelLines = 60 // maximum number of the kernel's messages in an error

	// minLines is less than the number of messages of every boot. Only the first one is left in the
	// kernel's image if later ones have replaced it in the buffer.
	minLines = 10
)

var kernelBug = regexp.MustCompile(`BUG: [^\r\n]*|Oops: [^\r\n]*|general protection fault[^\r\n]*`)

// KernelBug returns what the guest's kernel has printed about a failure of its own, or "". QEMU's
// emulation causes one in some hundred boots with several processors.
func KernelBug(messages string) string { return kernelBug.FindString(messages) }

// addMemory creates the guest's memory as a file, which this process can read after QEMU's end.
func (m *machine) addMemory() error {
	size := int64(m.cfg.MemMiB) << 20
	fd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("create the guest's memory: %w", err)
	}
	m.memory = os.NewFile(uintptr(fd), "guest")
	if err := m.memory.Truncate(size); err != nil {
		return fmt.Errorf("set the size of the guest's memory: %w", err)
	}
	// The virtiofs server maps the memory too, so it is shared.
	m.args("-object", fmt.Sprintf("memory-backend-file,id=mem,share=on,size=%d,mem-path=/proc/self/fd/%d",
		size, m.passFile(m.memory)))
	return nil
}

// addKernelLog adds the last messages of the guest's kernel to an error, if it finds them in the guest's
// memory.
func (m *machine) addKernelLog(e *GuestError) {
	memory, err := unix.Mmap(int(m.memory.Fd()), 0, m.cfg.MemMiB<<20, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return
	}
	defer unix.Munmap(memory)
	lines := findKernelLog(memory)
	e.BeforeInit = len(lines) >= minLines && !slices.ContainsFunc(lines, func(line []byte) bool {
		return bytes.HasPrefix(line, []byte("Run ")) && bytes.Contains(line, []byte(" as init process"))
	})
	e.Kernel = string(bytes.Join(lines[max(0, len(lines)-kernelLines):], []byte("\n")))
}

// findKernelLog returns copies of the messages in the kernel's buffer of log messages
// (kernel/printk/printk_ringbuffer.h) somewhere in memory. Each message in it follows a number of 8
// bytes that is not text. The first one is the kernel's version, unless newer messages replaced it.
func findKernelLog(memory []byte) [][]byte {
	first := []byte("Linux version ")
	var log [][]byte
	for {
		i := bytes.Index(memory, first)
		if i < 0 {
			return log
		}
		memory = memory[i:]
		// The kernel's image contains the first message too, among other texts.
		if lines := texts(memory); len(lines) > len(log) {
			log = lines
		}
		memory = memory[len(first):]
	}
}

// texts returns copies of the pieces of text at the start of b.
func texts(b []byte) [][]byte {
	const (
		minText = 3  // bytes; fewer in a row are part of a number
		maxGap  = 24 // bytes that are not text: a number and the padding before it
	)
	var lines [][]byte
	gap := 0
	for len(b) > 0 && gap <= maxGap {
		n := 0
		for n < len(b) && (' ' <= b[n] && b[n] < 0x7f || b[n] == '\t') {
			n++
		}
		if n >= minText {
			lines = append(lines, bytes.Clone(b[:n]))
			gap = 0
		} else {
			n = max(n, 1)
			gap += n
		}
		b = b[n:]
	}
	return lines
}
