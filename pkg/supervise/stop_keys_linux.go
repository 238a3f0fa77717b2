package supervise

import (
	"encoding/binary"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Of linux/input.h and linux/input-event-codes.h.
const (
	eventKey   = 1   // EV_KEY
	keyPower   = 116 // KEY_POWER
	keyPower2  = 356 // KEY_POWER2
	keyRestart = 408 // KEY_RESTART

	keySetSize = 0x300 / 8                                           // KEY_CNT bits
	getKeySet  = 2<<30 | keySetSize<<16 | 'E'<<8 | (0x20 + eventKey) // EVIOCGBIT
	eventSize  = 24                                                  // struct input_event: time, type, code, value
)

// inputDir is where the input devices are, once there is one.
const inputDir = "/dev/input"

// PowerKeys is a task, a loop.Task, that makes a request to stop (SIGPWR to this process) of each press of a key for power or
// restart, on any input device, be it there from the start or not. A host can ask so for a machine's orderly end: libkrun does
// on arm64, by KEY_RESTART of a GPIO line.
type PowerKeys struct {
	begin   time.Duration // when to look for devices, by loop.Now; 0: not yet decided
	begun   bool
	changes int // inotify(7) descriptor, or negative
	devices []inputDevice
}

type inputDevice struct {
	name string // event0
	fd   int
}

// keysDelay is how long the devices are not looked for: while a program starts, it needs the processor.
const keysDelay = 50 * time.Millisecond

// Poll implements loop.Task.
func (k *PowerKeys) Poll(fds []unix.PollFd) (all []unix.PollFd, wait time.Duration) {
	if !k.begun {
		now := loop.Now()
		if k.begin == 0 {
			k.begin = now + keysDelay
		}
		return fds, max(k.begin-now, 0)
	}
	fds = append(fds, unix.PollFd{Fd: int32(k.changes), Events: unix.POLLIN})
	for _, d := range k.devices {
		fds = append(fds, unix.PollFd{Fd: int32(d.fd), Events: unix.POLLIN})
	}
	return fds, loop.Forever
}

// Run implements loop.Task.
func (k *PowerKeys) Run() {
	if !k.begun {
		if loop.Now() < k.begin {
			return
		}
		k.begun = true
		var err error
		if k.changes, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
			k.changes = -1
		}
		k.look()
	}
	var buf [32 * eventSize]byte // holds an inotify event, too
	for i := 0; i < len(k.devices); i++ {
		n, err := unix.Read(k.devices[i].fd, buf[:])
		switch {
		case n > 0 && pressed(buf[:n]):
			_ = unix.Kill(unix.Getpid(), unix.SIGPWR)
		case err == nil && n == 0, err == unix.ENODEV: // taken away
			unix.Close(k.devices[i].fd)
			k.devices = append(k.devices[:i], k.devices[i+1:]...)
			i--
		}
	}
	// Afterwards, for the name of one that is gone can be another's.
	if n, _ := unix.Read(k.changes, buf[:]); n > 0 {
		k.look()
	}
}

// look opens the devices that have a key for power or restart, and has itself told of new ones.
func (k *PowerKeys) look() {
	const created = unix.IN_CREATE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(k.changes, inputDir, created); err != nil {
		_, _ = unix.InotifyAddWatch(k.changes, "/dev", created)
		_, _ = unix.InotifyAddWatch(k.changes, inputDir, created) // made in the meantime
	}
	const most = 16
	names, _ := sysfile.Names(inputDir) // most guests have none
	for _, name := range names {
		if len(k.devices) == most || !strings.HasPrefix(name, "event") || k.has(name) {
			continue
		}
		fd, err := unix.Open(inputDir+"/"+name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err != nil {
			continue
		}
		var keys [keySetSize]byte // stays empty for what is no input device
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getKeySet, uintptr(unsafe.Pointer(&keys)))
		if hasKey(&keys, keyPower) || hasKey(&keys, keyPower2) || hasKey(&keys, keyRestart) {
			k.devices = append(k.devices, inputDevice{name, fd})
		} else {
			unix.Close(fd)
		}
	}
}

func (k *PowerKeys) has(name string) bool {
	for _, d := range k.devices {
		if d.name == name {
			return true
		}
	}
	return false
}

// hasKey tells whether a set of keys has one.
func hasKey(set *[keySetSize]byte, key uint) bool { return set[key/8]&(1<<(key%8)) != 0 }

// pressed tells whether events, as read from an input device, are the press of a key for power or restart.
func pressed(events []byte) bool {
	for ; len(events) >= eventSize; events = events[eventSize:] {
		kind, code := binary.NativeEndian.Uint16(events[16:]), binary.NativeEndian.Uint16(events[18:])
		value := binary.NativeEndian.Uint32(events[20:]) // 0 is its release, 2 its repetition
		if kind == eventKey && value == 1 && (code == keyPower || code == keyPower2 || code == keyRestart) {
			return true
		}
	}
	return false
}
