package supervise

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/kmsg"
)

// KilledForMemory returns the name of the process that the kernel killed last because memory ran
// out, of the machine or of a cgroup, "" if there is none. If pid is not 0, only that process
// counts. It reads the kernel's log: not every kernel counts such kills, and none for the first
// cgroup.
func KilledForMemory(pid int) (name string) {
	log := kmsg.Open(unix.SEEK_SET)
	defer log.Close()
	log.Each(func(_ int, text string) {
		if killed, n, ok := parseKill(text); ok && (pid == 0 || killed == pid) {
			name = n
		}
	})
	return name
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
