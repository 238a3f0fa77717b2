package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// parseStatus reads the fields of a Memory out of what proc_pid_status(5) describes.
func parseStatus(status []byte) (Memory, error) {
	var m Memory
	want := map[string]*int{"VmRSS": &m.RSS, "RssAnon": &m.Anonymous, "Threads": &m.Threads}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), ":")
		value, ok := want[name]
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")))
		if err != nil {
			return Memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*value = n
		delete(want, name)
	}
	for name := range want {
		return Memory{}, fmt.Errorf("no field %s", name)
	}
	return m, nil
}
