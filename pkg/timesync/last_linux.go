package timesync

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/jsonio"
)

// LastFile is the file to which the process that keeps the clock writes a Last. Other processes
// cannot listen to the host at the same time.
const LastFile = "/dev/.clock.json"

// Last describes the last datagram that was accepted.
type Last struct {
	Time   time.Time     // when the datagram was handled, by the corrected clock
	Offset time.Duration // the host's time minus the clock's
	Action string        // Action.String
	Error  string        // why the clock could not be changed
}

// AppendJSON implements jsonio.Appender. The members are time (RFC 3339), offsetNs, action and,
// unless it is empty, error.
func (l Last) AppendJSON(b []byte) []byte {
	object := jsonio.NewObject("time", l.Time.UTC().Format(time.RFC3339Nano),
		"offsetNs", int64(l.Offset), "action", l.Action)
	if l.Error != "" {
		object = append(object, jsonio.Member{Name: "error", Value: l.Error})
	}
	return jsonio.Append(b, object)
}

// parse sets l from the JSON that AppendJSON writes.
func (l *Last) parse(text []byte) error {
	r := jsonio.NewReader(text)
	var at string
	err := r.Object(func(name string) error {
		switch name {
		case "time":
			return r.Text(&at)
		case "offsetNs":
			return jsonio.Integer(r, &l.Offset, math.MinInt64, math.MaxInt64)
		case "action":
			return r.Text(&l.Action)
		case "error":
			return r.Text(&l.Error)
		}
		return r.Skip()
	})
	if err == nil {
		l.Time, err = time.Parse(time.RFC3339Nano, at)
	}
	return cmp.Or(err, r.End())
}

// ReadLast returns the contents of a LastFile. The error wraps fs.ErrNotExist if no process keeps
// the clock, or no datagram has been accepted yet.
func ReadLast(path string) (l Last, err error) {
	const limit = 4096 // bytes
	text, err := imagefile.Read(path, limit)
	if err != nil {
		return l, err
	}
	if err := l.parse(text); err != nil {
		return Last{}, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// saveLast replaces a LastFile by one that describes an event. It ignores failures.
func saveLast(path string, now time.Time, e Event) {
	last := Last{now, e.Offset, e.Action.String(), ""}
	if e.Err != nil {
		last.Error = e.Err.Error()
	}
	_ = imagefile.Replace(path, append(last.AppendJSON(nil), '\n'))
}
