package cases

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/integration/vsock"
)

const (
	guestCID    = 3
	answerPort  = 124 // receives a datagram when an order has been executed
	timesyncBin = "/bin/krun-timesync"

	// tolerance is the largest measured error of a clock that counts as correct. A busy machine
	// measures late, and a guest that gets little of it loses time.
	tolerance = 500 * time.Millisecond
)

var hostClock = vsock.Address{CID: vsock.HostCID, Port: vsock.ClockPort}

// An order is a request of the guest half to its host half, sent as a line of JSON on the virtio
// port "orders". The host sleeps, if requested, and then sends datagrams to port 123 of the guest.
// After that it confirms the order by a datagram with its time to answerPort.
type order struct {
	Sleep  time.Duration
	From   vsock.Address
	Count  int
	Length int           // of a datagram, in bytes
	Ahead  time.Duration // added to the host's time in the datagram
	Value  uint64        // sent in place of a time, unless 0
}

// clockMachine returns withBusybox with the guest half as its workload, krun-timesync as a program,
// a clock that starts in 2020, and a host that executes orders.
func clockMachine(t *testing.T, arch string, g guest) vm.Config {
	t.Helper()
	cfg := withTimesync(t, arch, g)
	d, err := vsock.New(guestCID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	d.AddTo(&cfg)
	control, err := vm.NewControl()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	control.AddTo(&cfg)

	r, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	cfg.Ports = []vm.Port{{Name: "orders", Out: w}}
	go func() {
		for dec := json.NewDecoder(r); ; {
			var o order
			err := dec.Decode(&o)
			if err == nil {
				err = o.carryOut(t.Context(), d, control)
			}
			if err != nil {
				r.CloseWithError(err) // stops the machine, if it still runs
				return
			}
		}
	}()
	return cfg
}

// withTimesync returns the same machine, with a host that sends nothing.
func withTimesync(t *testing.T, arch string, g guest) vm.Config {
	t.Helper()
	cfg := withBusybox(t, arch)
	g.addTo(t, &cfg)
	cfg.Env = append(cfg.Env, "KRUN_TIMESYNC=0") // the guest half runs krun-timesync instead
	cfg.Files = append(cfg.Files, hostfs.File{Path: timesyncBin, Source: product(t, arch), Mode: 0o755})
	cfg.Devices = append(cfg.Devices, vm.Device{Args: func([]int) []string {
		return []string{"-rtc", "base=2020-01-01T00:00:00"}
	}})
	return cfg
}

func (o *order) carryOut(ctx context.Context, d *vsock.Device, control *vm.Control) error {
	if o.Sleep > 0 {
		if err := control.Stop(ctx); err != nil {
			return err
		}
		time.Sleep(o.Sleep) // simulates the sleep of the host
		if err := control.Continue(ctx); err != nil {
			return err
		}
	}
	for range o.Count {
		payload := vsock.WholeBuffer(time.Now().Add(o.Ahead))
		if o.Value != 0 {
			binary.LittleEndian.PutUint64(payload, o.Value)
		}
		if err := d.Send(ctx, vsock.Datagram{
			From:    o.From,
			To:      vsock.Address{CID: guestCID, Port: vsock.ClockPort},
			Payload: payload[:o.Length],
		}); err != nil {
			return err
		}
	}
	return d.Send(ctx, vsock.Datagram{
		From:    hostClock,
		To:      vsock.Address{CID: guestCID, Port: answerPort},
		Payload: vsock.Time(time.Now()),
	})
}

// passes boots a machine and checks that its guest half passes.
func passes(t *testing.T, cfg vm.Config) {
	t.Helper()
	wantConsole(t, run(t, cfg, 0), passed)
}

// A host is the guest half's connection to its host.
type host struct {
	t       *testing.T
	orders  *os.File // a virtio port
	answers int      // a socket
}

func newHost(t *testing.T) *host {
	t.Helper()
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, name := range names {
		if b, _ := os.ReadFile(name); string(b) == "orders\n" {
			var orders *os.File
			orders, err = os.OpenFile("/dev/"+filepath.Base(filepath.Dir(name)), os.O_WRONLY, 0)
			if err == nil {
				return &host{t, orders, listenVsock(t, answerPort)}
			}
		}
	}
	t.Fatalf("no virtio port named orders among %q: %v", names, err)
	return nil
}

func listenVsock(t *testing.T, port uint32) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// order makes the host execute o, and returns how far the guest's clock is ahead of the host's
// afterwards. The result includes the delay of the answer, so it may be too large.
func (h *host) order(o order) (ahead time.Duration) {
	h.t.Helper()
	if err := json.NewEncoder(h.orders).Encode(o); err != nil {
		h.t.Fatal(err)
	}
	var b [8]byte
	if _, err := unix.Read(h.answers, b[:]); err != nil {
		h.t.Fatal(err)
	}
	return time.Duration(time.Now().UnixNano() - int64(binary.LittleEndian.Uint64(b[:])))
}

// send makes the host send a datagram of length bytes with its current time.
func (h *host) send(length int) {
	h.t.Helper()
	h.order(order{From: hostClock, Count: 1, Length: length})
}

// ahead returns how far the guest's clock is ahead of the host's. It takes the smallest of six
// results, because each includes the delay of an answer.
func (h *host) ahead() time.Duration {
	h.t.Helper()
	least := h.order(order{})
	for range 5 {
		least = min(least, h.order(order{}))
	}
	return least
}

// want checks how far the guest's clock is ahead of the host's.
func (h *host) want(want time.Duration, when string) {
	h.t.Helper()
	if got := h.ahead(); (got - want).Abs() > tolerance {
		h.t.Errorf("%s the clock is %v ahead of the host's clock, want %v", when, got, want)
	}
}

// shift moves the guest's clock by a duration, which may be negative.
func shift(t *testing.T, by time.Duration) {
	t.Helper()
	if cmdline, err := os.ReadFile("/proc/cmdline"); err != nil || !bytes.Contains(cmdline, []byte("init=/init.krun")) {
		t.Fatal("not in a guest") // do not change the clock of the machine that runs the tests
	}
	now := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
}

// A timesync is a running krun-timesync.
type timesync struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // what it prints
}

// startTimesync starts krun-timesync -v and waits until it listens.
func startTimesync(t *testing.T, args ...string) *timesync {
	t.Helper()
	p := execTimesync(t, exec.Command(timesyncBin, append([]string{"--force", "-v"}, args...)...))
	p.wantLine("listening")
	return p
}

func execTimesync(t *testing.T, cmd *exec.Cmd) *timesync {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &timesync{t, cmd, make(chan string)}
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
		close(p.lines)
	}()
	return p
}

// line returns the next line of output.
func (p *timesync) line() string {
	p.t.Helper()
	select {
	case line, open := <-p.lines:
		if !open {
			p.t.Fatalf("krun-timesync exited: %v", p.cmd.Wait())
		}
		return line
	case <-time.After(30 * time.Second):
		p.t.Fatal("krun-timesync printed no line within 30 s")
		return ""
	}
}

// wantLine checks that the next line contains parts, in this order.
func (p *timesync) wantLine(parts ...string) {
	p.t.Helper()
	wantLine(p.t, p.line()+"\n", parts...)
}

// wantOffset checks that the next line reports an offset of about want and the action done.
func (p *timesync) wantOffset(want time.Duration, done string) {
	p.t.Helper()
	line := p.line()
	text, found := strings.CutSuffix(strings.TrimPrefix(line, "offset "), ": "+done)
	if offset, err := time.ParseDuration(text); !found || err != nil || (offset-want).Abs() > tolerance {
		p.t.Errorf("line = %q, want an offset of %v, %s", line, want, done)
	}
}

type counts struct{ Received, Refused, Stepped, Slewed, OffsetNs int64 }

// counts requests the summary by SIGUSR1. The process must run with -json.
func (p *timesync) counts() (c counts) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		p.t.Fatal(err)
	}
	line := p.line()
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		p.t.Fatalf("summary %q: %v", line, err)
	}
	return c
}

// status returns a value of /proc/PID/status.
func (p *timesync) status(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return state{"status": string(b)}.field(p.t, "status", name)
}

// end sends SIGTERM and checks that the process exits with code 0. It ignores lines that contain
// one of late: datagrams that were in flight cause them.
func (p *timesync) end(late ...string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.wantExit(0, late...)
}

// wantExit waits for the process to exit, and checks its exit code and that it prints nothing more,
// except lines that contain one of late.
func (p *timesync) wantExit(want int, late ...string) {
	p.t.Helper()
	for line := range p.lines {
		if slices.ContainsFunc(late, func(text string) bool { return strings.Contains(line, text) }) {
			continue
		}
		p.t.Errorf("krun-timesync printed %q before it exited, want nothing", line)
	}
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit code of krun-timesync = %d, want %d", got, want)
	}
}

var clockStepGuest = inGuest("clock-step", func(t *testing.T) {
	if year := time.Now().Year(); year > 2020 {
		t.Errorf("year of the guest's clock = %d at the start, want 2020", year)
	}
	h := newHost(t)
	for _, length := range []int{8, vsock.MaxPayload} {
		p := startTimesync(t, "-once", "-json")
		h.send(length)
		p.wantLine("from 2:123: offset ", "stepped")
		p.wantLine(`{"offsetNs": `, `, "action": "stepped", "done": true}`)
		p.wantExit(0)
		h.want(0, fmt.Sprintf("after a datagram of %d bytes", length))
		shift(t, map[int]time.Duration{8: time.Hour}[length])
	}

	// With -n the clock does not change.
	shift(t, -time.Minute)
	p := startTimesync(t, "-n", "-once", "-threshold", "2m")
	h.send(8)
	p.wantLine("from 2:123: offset ", "kept")
	p.wantOffset(time.Minute, "kept")
	p.wantExit(0)
	p = startTimesync(t, "-n", "-once")
	h.send(8)
	p.wantLine("from 2:123: offset ", "stepped")
	p.wantOffset(time.Minute, "would be stepped")
	p.wantExit(0)
	h.want(-time.Minute, "after -n")
})

// TestClockStep boots a guest whose clock is wrong by years, and checks that krun-timesync sets it
// by datagrams of both lengths that hosts send.
func TestClockStep(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) { passes(t, clockMachine(t, arch, clockStepGuest)) })
}

var clockSleepGuest = inGuest("clock-sleep", func(t *testing.T) {
	h := newHost(t)
	p := startTimesync(t, "-json")
	h.send(8)
	p.wantLine("stepped")
	h.want(0, "at first")
	const sleep = 3 * time.Second
	h.order(order{Sleep: sleep})
	h.want(-sleep, "when the host wakes up")
	h.send(8)
	p.wantLine("stepped")
	h.want(0, "after the host's next datagram")
	if got := p.counts(); got.Received != 2 || got.Stepped != 2 || got.Refused != 0 ||
		(time.Duration(got.OffsetNs)-sleep).Abs() > 2*tolerance {
		t.Errorf("counts = %+v, want 2 received, 2 stepped, the last by %v", got, sleep)
	}
	p.end()
})

// TestClockAfterSleep checks that krun-timesync corrects the clock after the host has slept.
func TestClockAfterSleep(t *testing.T) {
	t.Parallel()
	passes(t, clockMachine(t, "amd64", clockSleepGuest))
}

// A watcher observes whether the clock goes back.
type watcher struct {
	stop chan struct{}
	back chan time.Duration // the largest step back
}

func watch() *watcher {
	w := &watcher{make(chan struct{}), make(chan time.Duration)}
	go func() {
		var back time.Duration
		last := time.Now().Round(0) // without the monotonic clock
		for {
			select {
			case <-w.stop:
				w.back <- back
				return
			default:
			}
			now := time.Now().Round(0)
			back = max(back, last.Sub(now))
			last = now
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return w
}

// wantMonotonic ends the observation and checks that the clock never went back.
func (w *watcher) wantMonotonic(t *testing.T) {
	t.Helper()
	close(w.stop)
	if back := <-w.back; back > 0 {
		t.Errorf("the clock went back by %v", back)
	}
}

var clockThresholdGuest = inGuest("clock-threshold", func(t *testing.T) {
	// The threshold is large because a guest loses time on a busy host.
	const kept, off = 600 * time.Millisecond, 200 * time.Millisecond
	h := newHost(t)
	p := startTimesync(t, "-threshold", "1s")
	h.send(8)
	p.wantLine("stepped")
	shift(t, kept-h.ahead())
	w := watch()
	for range 3 {
		h.send(8)
		p.wantLine("kept")
	}
	if ahead := h.ahead(); ahead < kept/2 {
		t.Errorf("below the threshold the clock went from %v ahead to %v ahead, want it unchanged",
			kept, ahead)
	}
	w.wantMonotonic(t)
	p.end()

	p = startTimesync(t, "-threshold", "1s", "-slew")
	for _, off := range []time.Duration{off, -off} { // fast, then slow
		w := watch()
		began := sinceRaw(t)
		for left, seconds := off, 0; left.Abs() > off.Abs()/4; seconds++ {
			// One datagram would suffice, unless the kernel changes its clocksource.
			if seconds%10 == 0 {
				h.order(order{From: hostClock, Count: 1, Length: 8, Ahead: h.ahead() - left})
				p.wantLine("slewed")
			}
			if seconds == 200 { // it takes some 20 s
				t.Fatalf("after 200 s a clock that was off by %v is off by %v, want 0", off, left)
			}
			time.Sleep(time.Second)
			left = off + sinceRaw(t) - began
		}
		w.wantMonotonic(t)
	}
	p.end()
})

// sinceRaw returns how far the clock is ahead of one that nobody slews. A guest that gets little of
// the processor loses time on both.
func sinceRaw(t *testing.T) time.Duration {
	t.Helper()
	var raw, now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &raw)
	if err := errors.Join(err, unix.ClockGettime(unix.CLOCK_REALTIME, &now)); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano() - raw.Nano())
}

// TestClockThreshold boots a guest whose clock is off by less than the threshold, and checks that
// krun-timesync leaves the clock alone, or slews it with -slew.
func TestClockThreshold(t *testing.T) {
	t.Parallel()
	cfg := clockMachine(t, "amd64", clockThresholdGuest)
	cfg.Deadline = 8 * time.Minute
	passes(t, cfg)
}

var clockRefuseGuest = inGuest("clock-refuse", func(t *testing.T) {
	h := newHost(t)
	p := startTimesync(t, "-json")
	h.send(8)
	p.wantLine("stepped")
	for _, bad := range []struct {
		order
		why string
	}{
		{order{From: vsock.Address{CID: 2, Port: 124}, Length: 8}, "not from the host's port 123"},
		{order{From: vsock.Address{CID: 0, Port: 123}, Length: 8}, "not from the host's port 123"},
		{order{From: vsock.Address{CID: 1, Port: 123}, Length: 8}, "not from the host's port 123"},
		{order{From: vsock.Address{CID: 4, Port: 123}, Length: vsock.MaxPayload}, "not from the host's port 123"},
		{order{From: hostClock, Length: 7}, "shorter than 8 bytes"},
		{order{From: hostClock, Length: 1}, "shorter than 8 bytes"},
		{order{From: hostClock, Length: 8, Value: 1}, "not a time"},
		{order{From: hostClock, Length: 8, Value: 1577836800e9 - 1}, "not a time"},
		{order{From: hostClock, Length: vsock.MaxPayload, Value: 7258118400e9}, "not a time"},
		{order{From: hostClock, Length: 8, Value: 1<<64 - 1}, "not a time"},
	} {
		bad.Count, bad.Ahead = 1, time.Hour
		h.order(bad.order)
		p.wantLine(fmt.Sprintf("from %d:%d: refused: %s", bad.From.CID, bad.From.Port, bad.why))
	}
	h.want(0, "after datagrams that are refused")
	if got := p.counts(); got.Received != 11 || got.Refused != 10 || got.Stepped != 1 {
		t.Errorf("counts = %+v, want 11 received, 10 refused, 1 stepped", got)
	}
	p.end()
})

// TestClockRefuses sends datagrams from wrong addresses, of wrong lengths and with impossible
// times, and checks that krun-timesync ignores them.
func TestClockRefuses(t *testing.T) {
	t.Parallel()
	passes(t, clockMachine(t, "amd64", clockRefuseGuest))
}

var clockForgedGuest = inGuest("clock-forged", func(t *testing.T) {
	p := startTimesync(t)
	before := time.Now()
	// The system call below changes the user of this thread only. The thread ends with the
	// goroutine, because it stays locked to it.
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1000, 1000, 1000); errno != 0 {
		t.Fatal(errno)
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: vsock.ClockPort}); err != unix.EACCES {
		t.Errorf("bind to port 123 as user 1000 = %v, want %v", err, unix.EACCES)
	}
	to := &unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL, Port: vsock.ClockPort}
	if err := unix.Sendto(fd, vsock.Time(before.Add(time.Hour)), 0, to); err != nil {
		t.Fatal(err)
	}
	p.wantLine("from 1:", "refused: not from the host's port 123")
	if passed := time.Since(before.Round(0)); passed > 30*time.Minute {
		t.Errorf("the clock moved by %v, want less than 30m", passed)
	}
})

// TestClockForged has an unprivileged user in the guest send datagrams to krun-timesync, in a
// machine without a vsock device, and checks that they are refused.
func TestClockForged(t *testing.T) {
	t.Parallel()
	passes(t, withTimesync(t, "amd64", clockForgedGuest))
}

var clockFloodGuest = inGuest("clock-flood", func(t *testing.T) {
	const part, parts = 250_000, 4
	h := newHost(t)
	p := startTimesync(t, "-once")
	h.send(8)
	p.wantLine("stepped")
	p.wantLine("stepped")
	p.wantExit(0)
	p = execTimesync(t, exec.Command(timesyncBin, "--force", "-json", "-slew"))
	var before [2]int // in kB: anonymous memory of the process, available memory of the machine
	for i := range parts {
		o := order{From: hostClock, Count: part, Length: 8}
		if i%2 == 1 {
			o.From.Port++ // krun-timesync refuses datagrams from this port
		}
		h.order(o)
		now := [2]int{kB(t, p.status("RssAnon")), kB(t, availableMemory(t))}
		if i == 0 {
			before = now
		}
		if now[0] > before[0]+100 {
			t.Errorf("anonymous memory of krun-timesync = %d kB after %d datagrams, %d kB after %d",
				before[0], part, now[0], (i+1)*part)
		}
		if now[1] < before[1]-8<<10 {
			t.Errorf("available memory = %d kB after %d datagrams, %d kB after %d",
				before[1], part, now[1], (i+1)*part)
		}
	}
	// The kernel drops datagrams that a slow machine does not read in time.
	if got := p.counts(); got.Received < 10_000 || got.Refused < 1000 {
		t.Errorf("counts = %+v, want at least 10000 received, 1000 refused", got)
	}
	for h.ahead().Abs() > tolerance { // the last datagrams were old when the process read them
		h.send(8)
	}
	p.end()
})

// kB returns the number in a text such as "492 kB".
func kB(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(text, "%d kB", &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

// availableMemory returns the machine's available memory, as in "492 kB".
func availableMemory(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	return state{"meminfo": string(b)}.field(t, "meminfo", "MemAvailable")
}

// TestClockFlood has a host send a million datagrams as fast as it can, and checks that neither the
// process nor the machine runs out of memory.
func TestClockFlood(t *testing.T) {
	t.Parallel()
	cfg := clockMachine(t, "amd64", clockFloodGuest)
	cfg.Deadline = 3 * time.Minute
	passes(t, cfg)
}

var clockProcessGuest = inGuest("clock-process", func(t *testing.T) {
	h := newHost(t)

	// Start the program from memory and with an inherited socket, as init does.
	program, err := os.ReadFile(timesyncBin)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("krunbox", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(memory), "memfd")
	if _, err := f.Write(program); err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(listenVsock(t, vsock.ClockPort)), "socket")
	h.send(8) // waits in the socket when the process starts
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", memory), "--force", "-v", "-inherit")
	cmd.Args[0], cmd.Stdin = "krun-timesync", socket
	p := execTimesync(t, cmd)
	p.wantLine("listening")
	p.wantLine("stepped")
	// The datagram has the time before the start of the process.
	if ahead := h.ahead(); ahead > tolerance || ahead < -5*time.Second {
		t.Errorf("after a datagram from the socket the clock is %v ahead of the host's clock",
			ahead)
	}
	if name := p.status("Name"); name != "krun-timesync" {
		t.Errorf("name of the process = %q, want krun-timesync", name)
	}
	if anonymous := kB(t, p.status("RssAnon")); anonymous > 1100 {
		t.Errorf("anonymous memory = %d kB, want at most 1100", anonymous)
	}

	// The port is in use.
	once := execTimesync(t, exec.Command(timesyncBin, "--force", "-once"))
	once.wantLine("krun-timesync: listen to vsock port 123: address already in use")
	once.wantExit(4)
	next := execTimesync(t, exec.Command(timesyncBin, "--force", "-v"))
	next.wantLine("krun-timesync: listen to vsock port 123: address already in use")
	p.end()
	socket.Close()
	shift(t, time.Hour)
	for h.ahead() > time.Minute { // it retries soon
		h.send(8)
	}
	next.wantLine("stepped")
	next.end(": kept", ": stepped")

	// The host sends nothing.
	late := execTimesync(t, exec.Command(timesyncBin, "-once", "-timeout", "100ms"))
	late.wantLine("krun-timesync: no datagram from the host within 100ms")
	late.wantExit(1)
})

// TestClockProcess checks the name, memory use and exit codes of krun-timesync, and what it does
// when its port is in use.
func TestClockProcess(t *testing.T) {
	t.Parallel()
	cfg := clockMachine(t, "amd64", clockProcessGuest)
	passes(t, cfg)
}
