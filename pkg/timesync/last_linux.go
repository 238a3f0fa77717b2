package timesync

import (
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"
)

// LastFile is where the process that keeps the clock leaves a Last. Only it can listen to the host.
const LastFile = "/dev/.clock.json"

// Last is the last datagram that was accepted, and its result.
type Last struct {
	Time     time.Time `json:"time"` // of its arrival, by the clock after the result
	OffsetNs int64     `json:"offsetNs"`
	Action   string    `json:"action"`
	Error    string    `json:"error,omitzero"` // why the clock could not be changed
}

// ReadLast returns the contents of a LastFile. The error wraps fs.ErrNotExist if no process keeps
// the clock, or no datagram has come yet.
func ReadLast(path string) (l Last, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// saveLast writes an event to a LastFile. A failure does not matter to the clock. Whatever the
// workload has made of the file, it does not wait.
func saveLast(path string, now time.Time, e Event) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK |
		unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags, 0o644)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	text := fmt.Appendf(nil, `{"time": %q, "offsetNs": %d, "action": %q`,
		now.UTC().Format(time.RFC3339Nano), int64(e.Offset), e.Action)
	if e.Err != nil {
		text = append(text, `, "error": `...)
		text, _ = jsontext.AppendQuote(text, e.Err.Error())
	}
	_, _ = unix.Write(fd, append(text, "}\n"...))
}
