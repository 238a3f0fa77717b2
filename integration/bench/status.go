package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// parseStatus reads the fields of a Memory out of what proc_pid_status(5) describes.
func parseStatus(status []byte) (Memory, error) {
	values := map[string]int{}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			values[fields[0]], _ = strconv.Atoi(fields[1]) // most fields are not numbers
		}
	}
	m := Memory{RSS: values["VmRSS:"], Anonymous: values["RssAnon:"], Threads: values["Threads:"]}
	if m.RSS == 0 || m.Anonymous == 0 || m.Threads == 0 {
		return Memory{}, fmt.Errorf("VmRSS, RssAnon or Threads is missing in %q", status)
	}
	return m, nil
}
