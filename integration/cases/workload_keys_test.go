package cases

import (
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Constants of linux/input-event-codes.h and linux/uinput.h.
const (
	eventSync, eventKey = 0, 1

	keyLeftCtrl, keyLeftAlt, keyDelete, keyPower = 29, 56, 111, 116

	uinputCreate  = 0x5501     // UI_DEV_CREATE
	uinputEventOn = 0x40045564 // UI_SET_EVBIT
	uinputKeyOn   = 0x40045565 // UI_SET_KEYBIT
)

// keyboard creates a virtual keyboard in the guest by uinput. press presses and releases all keys
// at once.
func keyboard(t *testing.T, keys ...int) (press func()) {
	t.Helper()
	fd, err := unix.Open("/dev/uinput", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.IoctlSetInt(fd, uinputEventOn, eventKey); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := unix.IoctlSetInt(fd, uinputKeyOn, key); err != nil {
			t.Fatal(err)
		}
	}
	device := make([]byte, 1116) // struct uinput_user_dev
	copy(device, "keyboard")
	device[80], device[82], device[84] = 3, 1, 1 // BUS_USB, vendor and product
	if _, err := unix.Write(fd, device); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(fd, uinputCreate, 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, value := range []int32{1, 0} { // pressed, released
			for _, key := range keys {
				writeEvent(t, fd, eventKey, uint16(key), value)
				writeEvent(t, fd, eventSync, 0, 0)
			}
		}
	}
}

func writeEvent(t *testing.T, fd int, kind, code uint16, value int32) {
	t.Helper()
	event := struct {
		time       unix.Timeval
		kind, code uint16
		value      int32
	}{kind: kind, code: code, value: value}
	if _, err := unix.Write(fd, unsafe.Slice((*byte)(unsafe.Pointer(&event)), unsafe.Sizeof(event))); err != nil {
		t.Fatal(err)
	}
}

var keysGuest = inGuest("keys", func(t *testing.T) {
	keys := map[string][]int{"ctrl-alt-del": {keyLeftCtrl, keyLeftAlt, keyDelete}, "power": {keyPower}}[os.Args[1]]
	requests := make(chan os.Signal, 1)
	signal.Notify(requests, unix.SIGTERM)
	press := keyboard(t, keys...)
	if os.Args[1] == "power" { // init, not the kernel, handles this key
		for !watchesKeys(t) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	press()
	select {
	case <-requests:
	case <-time.After(30 * time.Second):
		t.Error("the workload did not receive SIGTERM")
	}
})

// watchesKeys reports whether init has opened an input device.
func watchesKeys(t *testing.T) bool {
	t.Helper()
	const dir = "/proc/1/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		target, _ := os.Readlink(dir + entry.Name())
		return strings.HasPrefix(target, "/dev/input/")
	})
}

// TestStopKeys presses the keys that stop a machine. It checks that the workload receives SIGTERM,
// the stop signal, also for Ctrl-Alt-Del, of which Linux notifies PID 1 by SIGINT, and that the
// workload has time to exit.
func TestStopKeys(t *testing.T) {
	for _, keys := range []string{"ctrl-alt-del", "power"} {
		t.Run(keys, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			keysGuest.addTo(t, &cfg, keys)
			cfg.Env = []string{"KRUN_STOP_TIMEOUT=1000"}
			wantConsole(t, run(t, cfg, 0), passed)
		})
	}
}
