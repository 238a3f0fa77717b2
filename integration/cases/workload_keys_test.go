package cases

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/vm"
)

// Constants of linux/input-event-codes.h and linux/uinput.h.
const (
	eventSync, eventKey = 0, 1

	keyLeftCtrl, keyA, keyLeftAlt, keyDelete, keyPower = 29, 30, 56, 111, 116

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

// keysGuest presses keys, ctrl-alt-del or power, and waits for the signal with the number that is
// the second argument.
var keysGuest = inGuest("keys", func(t *testing.T) {
	keys := map[string][]int{"ctrl-alt-del": {keyLeftCtrl, keyLeftAlt, keyDelete}, "power": {keyPower}}[os.Args[1]]
	number, err := strconv.Atoi(os.Args[2])
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan os.Signal, 1)
	signal.Notify(requests, unix.Signal(number))
	keyboard(t, keyA) // so that there is a directory to watch
	opened := watchInput(t)
	press := keyboard(t, keys...)
	if os.Args[1] == "power" { // init, not the kernel, handles this key
		opened("event1")
	}
	press()
	select {
	case <-requests:
	case <-time.After(30 * time.Second):
		t.Error("the workload did not receive the signal")
	}
})

// watchInput returns a function that waits until somebody, which is init, has opened a new input
// device.
func watchInput(t *testing.T) (opened func(name string)) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, "/dev/input", unix.IN_OPEN)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) {
		t.Helper()
		for events := ""; !strings.Contains(events, name+"\x00"); {
			var buf [4096]byte
			n, err := unix.Read(fd, buf[:])
			if err != nil {
				t.Fatal(err)
			}
			events += string(buf[:n])
		}
	}
}

// TestStopKeys presses the keys that stop a machine. It checks that the workload receives its stop
// signal and has time to exit. Of Ctrl-Alt-Del, Linux notifies PID 1 by SIGINT.
func TestStopKeys(t *testing.T) {
	for _, tt := range []struct{ keys, signal, config string }{
		{keys: "ctrl-alt-del", signal: "2"},
		{keys: "ctrl-alt-del", signal: "10", config: `{"StopSignal": "USR1"}`},
		{keys: "power", signal: "15"},
		{keys: "power", signal: "37", config: `{"StopSignal": "RTMIN+3", "linux": {"namespaces": [{"type": "pid"}]}}`},
	} {
		t.Run(tt.keys+" "+tt.signal, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			keysGuest.addTo(t, &cfg, tt.keys, tt.signal)
			cfg.Env = []string{"KRUN_STOP_TIMEOUT=1000"}
			if tt.config != "" {
				cfg.GuestConfig = []byte(tt.config)
			}
			wantConsole(t, run(t, cfg, 0), passed)
		})
	}
}

// TestIgnoredStopKey checks that a workload in a PID namespace, where a signal without a handler
// has no effect, is killed when its time to stop is over.
func TestIgnoredStopKey(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	keysGuest.addTo(t, &cfg, "power", "64")
	cfg.Env = []string{"KRUN_STOP_TIMEOUT=1", "KRUN_PID_NAMESPACE=1"}
	cfg.GuestConfig = []byte(`{"StopSignal": "RTMIN+3"}`)
	wantConsole(t, run(t, cfg, 128+int(unix.SIGKILL)), "")
}

// TestCtrlAltDelInPID1Mode checks that Ctrl-Alt-Del ends a machine whose workload is PID 1: a
// SIGINT, which it gets from no other init either, would have no effect.
func TestCtrlAltDelInPID1Mode(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	keysGuest.addTo(t, &cfg, "ctrl-alt-del", "64")
	cfg.Env = []string{"KRUN_INIT_PID1=1"}
	result, err := vm.Run(t.Context(), cfg)
	if !errors.Is(err, vm.ErrNoExitCode) {
		t.Errorf("Run() = %v, want %v", err, vm.ErrNoExitCode)
	}
	wantConsole(t, result, "")
}
