package supervise

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// powerKeys are KEY_POWER, KEY_POWER2 and KEY_RESTART of linux/input-event-codes.h.
var powerKeys = [...]uint{116, 356, 408}

const (
	// From linux/input.h.
	eventSize  = 24        // of struct input_event: time, type, code, value
	keySetSize = 0x300 / 8 // KEY_CNT bits
	// getKeySet is EVIOCGBIT(EV_KEY, keySetSize), getHeldKeys EVIOCGKEY(keySetSize).
	getKeySet   = 2<<30 | keySetSize<<16 | 'E'<<8 | (0x20 + unix.EV_KEY)
	getHeldKeys = 2<<30 | keySetSize<<16 | 'E'<<8 | 0x18

	inputDir   = "/dev/input"
	maxDevices = 16
	// keysDelay is the time before the first look for devices: the workload, which is starting
	// then, needs the processor.
	keysDelay = 50 * time.Millisecond
)

// PowerKeys is a loop.Task that makes a stop request (a SIGPWR to this process) of each press of a
// power or restart key, on any input device, including those that appear later. A key that is held
// when its device is found counts. A host can ask for an orderly end in this way: libkrun does on
// arm64, by KEY_RESTART of a GPIO key.
type PowerKeys struct {
	start   time.Duration // of the first look, by loop.Now; 0: not yet decided
	started bool
	inotify int // inotify(7) descriptor, or negative
	devices []inputDevice
}

type inputDevice struct {
	name string // "event0"
	fd   int
}

func (k *PowerKeys) Poll(fds []unix.PollFd) (all []unix.PollFd, wait time.Duration) {
	if !k.started {
		now := loop.Now()
		if k.start == 0 {
			k.start = now + keysDelay
		}
		return fds, max(k.start-now, 0)
	}
	fds = append(fds, unix.PollFd{Fd: int32(k.inotify), Events: unix.POLLIN})
	for _, d := range k.devices {
		fds = append(fds, unix.PollFd{Fd: int32(d.fd), Events: unix.POLLIN})
	}
	return fds, loop.Forever
}

func (k *PowerKeys) Run() {
	if !k.started {
		if loop.Now() < k.start {
			return
		}
		k.started = true
		var err error
		if k.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
			k.inotify = -1
		}
		k.open()
	}
	var buf [32 * eventSize]byte // is large enough for an inotify event as well
	k.devices = slices.DeleteFunc(k.devices, func(d inputDevice) bool {
		n, err := unix.Read(d.fd, buf[:])
		if n > 0 && pressed(buf[:n]) {
			k.stop()
		}
		removed := err == nil && n == 0 || err == unix.ENODEV
		if removed {
			_ = unix.Close(d.fd)
		}
		return removed
	})
	// After the reads: a new device may have the name of one that was removed.
	if n, _ := unix.Read(k.inotify, buf[:]); n > 0 {
		k.open()
	}
}

// open opens the devices that have a power or restart key, and watches for new ones.
func (k *PowerKeys) open() {
	const created = unix.IN_CREATE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(k.inotify, inputDir, created); err != nil {
		_, _ = unix.InotifyAddWatch(k.inotify, "/dev", created)
		_, _ = unix.InotifyAddWatch(k.inotify, inputDir, created) // it may have been created meanwhile
	}
	entries, _ := os.ReadDir(inputDir) // most guests have no such directory
	for _, entry := range entries {
		name := entry.Name()
		known := slices.ContainsFunc(k.devices, func(d inputDevice) bool { return d.name == name })
		if known || !strings.HasPrefix(name, "event") || len(k.devices) == maxDevices {
			continue
		}
		fd, err := openInput(name)
		if err != nil {
			continue
		}
		if !hasPowerKey(fd, getKeySet) {
			_ = unix.Close(fd)
			continue
		}
		k.devices = append(k.devices, inputDevice{name, fd})
		if isHeld(name) { // it was pressed before the device was opened
			k.stop()
			var buf [32 * eventSize]byte
			_, _ = unix.Read(fd, buf[:]) // if it was pressed a moment ago, it is also an event
		}
	}
}

func openInput(name string) (fd int, err error) {
	return unix.Open(inputDir+"/"+name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
}

// isHeld reports whether a power or restart key of a device is held. It opens the device
// again, because the ioctl removes waiting events from the descriptor that it is called on.
func isHeld(name string) bool {
	fd, err := openInput(name)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return hasPowerKey(fd, getHeldKeys)
}

// stop makes a stop request.
func (k *PowerKeys) stop() { _ = unix.Kill(unix.Getpid(), unix.SIGPWR) }

// hasPowerKey reports whether a set of keys, which an ioctl on an input device gets, contains a
// power or restart key.
func hasPowerKey(fd int, request uintptr) bool {
	var keys [keySetSize]byte // stays empty if this is no input device
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&keys)))
	return slices.ContainsFunc(powerKeys[:], func(key uint) bool { return hasKey(&keys, key) })
}

// hasKey reports whether a bit set of keys contains one.
func hasKey(set *[keySetSize]byte, key uint) bool { return set[key/8]&(1<<(key%8)) != 0 }

// pressed reports whether the events, as read from an input device, contain the press of a power or
// restart key.
func pressed(events []byte) bool {
	for ; len(events) >= eventSize; events = events[eventSize:] {
		kind := binary.NativeEndian.Uint16(events[16:])
		code := binary.NativeEndian.Uint16(events[18:])
		value := binary.NativeEndian.Uint32(events[20:]) // 0: released, 1: pressed, 2: repeated
		if kind == unix.EV_KEY && value == 1 && slices.Contains(powerKeys[:], uint(code)) {
			return true
		}
	}
	return false
}
