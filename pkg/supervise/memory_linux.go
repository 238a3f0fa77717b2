package supervise

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/kmsg"
)

// A Kill is a process that the kernel has killed because memory ran out, of the machine or of a cgroup.
type Kill struct {
	Name string // of the process; "": none was killed

	// Guessed means that the log names other killed processes, not the one that was asked for, and
	// has lost its oldest messages. The process was probably killed too.
	Guessed bool
}

// KilledForMemory returns the process that the kernel killed last because memory ran out. If pid is
// not 0, it must be a process that a signal killed, and KilledForMemory looks for that one. It reads
// the kernel's log, because not every kernel counts such kills, and no kernel counts those of the
// first cgroup. After many kills, the log has lost the first ones.
func KilledForMemory(pid int) Kill {
	log := kmsg.Open(unix.SEEK_SET)
	defer log.Close()
	var k killFinder
	overwritten := log.Each(func(_ int, text string) { k.add(pid, text) })
	return k.result(overwritten)
}

// killFinder looks for a Kill in messages of the kernel.
type killFinder struct{ found, other string }

func (k *killFinder) add(pid int, text string) {
	killed, name, ok := parseKill(text)
	switch {
	case !ok:
	case pid == 0 || killed == pid:
		k.found = name
	default:
		k.other = name
	}
}

func (k *killFinder) result(overwritten bool) Kill {
	if k.found == "" && k.other != "" && overwritten {
		return Kill{k.other, true}
	}
	return Kill{Name: k.found}
}

// parseKill parses a message of the kernel such as this:
//
//	Out of memory: Killed process 429 (tail) total-vm:65752kB, anon-rss:63616kB
func parseKill(text string) (pid int, name string, ok bool) {
	_, process, ok := strings.Cut(text, "Killed process ")
	number, rest, _ := strings.Cut(process, " (")
	end := strings.LastIndexByte(rest, ')')
	pid, err := strconv.Atoi(number)
	if !ok || err != nil || end < 0 {
		return 0, "", false
	}
	return pid, rest[:end], true
}
