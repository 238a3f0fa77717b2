package supervise

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

func TestPressed(t *testing.T) {
	event := func(kind, code uint16, value uint32) []byte {
		b := make([]byte, 16, eventSize)
		b = binary.NativeEndian.AppendUint16(b, kind)
		b = binary.NativeEndian.AppendUint16(b, code)
		return binary.NativeEndian.AppendUint32(b, value)
	}
	for _, c := range []struct {
		name   string
		events []byte
		want   bool
	}{
		{"nothing", nil, false},
		{"power", event(1, 116, 1), true},
		{"second power", event(1, 356, 1), true},
		{"restart", event(1, 408, 1), true},
		{"another key", event(1, 30, 1), false},
		{"released", event(1, 116, 0), false},
		{"repeated", event(1, 116, 2), false},
		{"not a key event", event(4, 116, 1), false},
		{"after another event", append(event(1, 30, 1), event(1, 116, 1)...), true},
		{"truncated", event(1, 116, 1)[:eventSize-1], false},
	} {
		if got := pressed(c.events); got != c.want {
			t.Errorf("pressed(%s) = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHasKey(t *testing.T) {
	var set [keySetSize]byte
	set[116/8] = 1 << (116 % 8)
	for key := range uint(keySetSize * 8) {
		if got := hasKey(&set, key); got != (key == 116) {
			t.Errorf("hasKey(%d) = %v", key, got)
		}
	}
}

// A machine without keys costs PID 1 no memory over time. The VM tests press keys.
func TestPowerKeysIdle(t *testing.T) {
	var keys PowerKeys
	fds := make([]unix.PollFd, 0, 32)
	if all, wait := keys.Poll(fds); len(all) != 0 || wait <= 0 || wait > keysDelay {
		t.Errorf("first Poll() = %v, %v, want no descriptor, at most %v", all, wait, keysDelay)
	}
	keys.start = loop.Now()
	keys.Run()
	if all, wait := keys.Poll(fds); len(all) == 0 || wait != loop.Forever {
		t.Errorf("Poll() = %v, %v, want a descriptor, Forever", all, wait)
	}
	defer unix.Close(keys.inotify)
	n := testing.AllocsPerRun(100, func() {
		keys.Poll(fds)
		keys.Run()
	})
	if n != 0 {
		t.Errorf("Poll and Run make %v allocations, want 0", n)
	}
}
