package soak

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/krunbox/krunbox/integration/virtiofs"
	"github.com/krunbox/krunbox/integration/vm"
	"github.com/krunbox/krunbox/integration/vsock"
)

// random returns a source of random numbers for a fault, for several goroutines.
func (f Fault) random() *safeRand { return &safeRand{r: rand.New(rand.NewPCG(f.Seed, 0))} }

type safeRand struct {
	mu sync.Mutex
	r  *rand.Rand
}

// IntN returns a number from 0 to n-1.
func (s *safeRand) IntN(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

// applySlowFiles delays each request by up to N milliseconds.
func applySlowFiles(f Fault, r *rig) error {
	random := f.random()
	r.intercept = append(r.intercept, func(virtiofs.Request) virtiofs.Answer {
		return virtiofs.Answer{After: time.Duration(random.IntN(f.N*1000)) * time.Microsecond}
	})
	return nil
}

// applyStallFiles delays N of the first requests by a second.
func applyStallFiles(f Fault, r *rig) error {
	const first = 120
	random := f.random()
	stalls := map[int]bool{}
	for range f.N {
		stalls[random.IntN(first)] = true
	}
	var mu sync.Mutex
	count := 0
	r.intercept = append(r.intercept, func(virtiofs.Request) (a virtiofs.Answer) {
		mu.Lock()
		defer mu.Unlock()
		if stalls[count] {
			a.After = time.Second
		}
		count++
		return a
	})
	return nil
}

// applyFileErrors has one of N requests fail that are of the kind of the fault.
func applyFileErrors(f Fault, r *rig) error {
	random := f.random()
	r.intercept = append(r.intercept, func(request virtiofs.Request) virtiofs.Answer {
		if fileErrors(f.Kind, request) && random.IntN(f.N) == 0 {
			return virtiofs.Answer{Error: f.Errno}
		}
		return virtiofs.Answer{}
	})
	return nil
}

// fileErrors reports whether a fault of this kind is about a request. None is about the root
// directory itself, by which the exit code is reported and every path is looked up.
func fileErrors(kind string, request virtiofs.Request) bool {
	if request.Path == "." {
		return false
	}
	program := strings.HasPrefix(request.Path+"/", "bin/") || request.Path == scriptPath[1:]
	writes := false
	switch request.Op {
	case virtiofs.OpSetattr, virtiofs.OpMknod, virtiofs.OpMkdir, virtiofs.OpWrite, virtiofs.OpFsync, virtiofs.OpFlush,
		virtiofs.OpCreate:
		writes = true
	}
	switch kind {
	case bootFiles:
		return !program && !writes
	case progFiles:
		return program
	}
	return writes
}

// applyPorts makes one of the workload's ports or more behave as the fault says.
func applyPorts(f Fault, r *rig) error {
	random := f.random()
	for i := range r.cfg.Ports {
		port := &r.cfg.Ports[i]
		if port.Name == reportPort {
			continue
		}
		input := port.Name == stdinPort
		switch {
		case f.What == flooded:
			if input {
				port.In = endless{}
			}
		case random.IntN(3) == 0: // as it is
		case f.What == unconnected:
			port.Unconnected = true
		case f.What == unread:
			port.Unread = true
		case f.What == closed && input:
			port.In = io.LimitReader(endless{}, int64(f.N))
		case f.What == closed:
			port.Out = io.MultiWriter(port.Out, &closing{after: f.N})
		}
	}
	return nil
}

// endless is a Reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// closing closes its port when more than after bytes are written to it.
type closing struct{ after int }

func (c *closing) Write(p []byte) (int, error) {
	if c.after -= len(p); c.after < 0 {
		return 0, vm.ErrClosePort
	}
	return len(p), nil
}

// applyConsole makes the console one that nobody reads.
func applyConsole(f Fault, r *rig) error {
	switch f.What {
	case unread:
		r.cfg.ConsoleUnread = true
	case absent:
		r.cfg.NoConsole = true
	case xoff:
		in, typed := io.Pipe()
		r.cfg.ConsoleIn = in
		r.onClose(typed.Close)
		r.at(f.At, func(context.Context) {
			go io.WriteString(typed, "\x13") // returns at the latest when typed is closed
		})
	}
	return nil
}

func applySlowDisk(f Fault, r *rig) error {
	r.cfg.Disks[r.plan.failingDisk()].BytesPerSecond = f.N
	return nil
}

// applyDiskErrors makes some sectors of a disk, or all requests, fail.
func applyDiskErrors(f Fault, r *rig) error {
	const sectors = 64 << 20 / 512
	random := f.random()
	d := &r.cfg.Disks[r.plan.failingDisk()]
	if f.What == "flush" || random.IntN(4) == 0 {
		d.Errors = []vm.DiskError{{Op: f.What, Errno: f.Errno, Sector: -1, Once: random.IntN(2) == 0}}
		return nil
	}
	for range 8 {
		d.Errors = append(d.Errors, vm.DiskError{Op: f.What, Errno: f.Errno, Sector: int64(random.IntN(sectors))})
	}
	return nil
}

// driver is the directory in which disks are taken from their driver, and returned to it: QEMU can't
// add a virtio-mmio device to a running machine, nor remove one.
const driver = "cd /sys/bus/virtio/drivers/virtio_blk; disk=$(basename $(readlink -f /sys/block/vd%c/device)); "

func (r *rig) diskLetter() rune { return rune('a' + r.plan.failingDisk()) }

func applyLateDisk(f Fault, r *rig) error {
	r.before = append(r.before, fmt.Sprintf(driver+"echo $disk >unbind", r.diskLetter()))
	r.agent = append(r.agent, fmt.Sprintf("started; usleep %d; echo $disk >bind", f.At.Microseconds()))
	return nil
}

func applyLostDisk(f Fault, r *rig) error {
	r.agent = append(r.agent, fmt.Sprintf("started; usleep %d; "+driver+"echo $disk >unbind; usleep %d; echo $disk >bind",
		f.At.Microseconds(), r.diskLetter(), f.For.Microseconds()))
	return nil
}

func applySignal(f Fault, r *rig) error {
	r.agent = append(r.agent, fmt.Sprintf("started; usleep %d; kill -%d 1", f.At.Microseconds(), f.N))
	return nil
}

// clock adds a vsock device whose host sends datagrams until the machine ends.
func (r *rig) clock(send func(ctx context.Context, d *vsock.Device) error) error {
	d, err := vsock.New(guestCID)
	if err != nil {
		return err
	}
	d.AddTo(&r.cfg)
	r.onClose(d.Close)
	r.events = append(r.events, func(ctx context.Context) {
		for ctx.Err() == nil && send(ctx, d) == nil {
		}
	})
	return nil
}

const guestCID = 3

// applyClockFlood sends as many datagrams as the guest takes, most of them without a meaning.
func applyClockFlood(f Fault, r *rig) error {
	random := f.random()
	return r.clock(func(ctx context.Context, d *vsock.Device) error {
		datagram := vsock.Clock(guestCID, make([]byte, random.IntN(vsock.MaxPayload+1)))
		if random.IntN(4) == 0 {
			datagram.Payload = vsock.WholeBuffer(time.Now())
		}
		if random.IntN(4) == 0 {
			datagram.From.Port = uint32(random.IntN(1 << 16))
		}
		if random.IntN(8) == 0 {
			datagram.To.Port = uint32(random.IntN(1 << 10))
		}
		return d.Send(ctx, datagram)
	})
}

// applyClockLies sends times that are far from each other.
func applyClockLies(f Fault, r *rig) error {
	random := f.random()
	return r.clock(func(ctx context.Context, d *vsock.Device) error {
		at := time.Now()
		switch random.IntN(5) {
		case 0:
			at = time.Unix(int64(random.IntN(1<<33))-1<<32, 0)
		case 1:
			at = at.Add(time.Duration(random.IntN(1e9)-5e8) * time.Microsecond)
		case 2:
			at = time.Unix(0, 1<<63-1)
		case 3:
			at = time.Unix(0, -1<<63)
		}
		if err := d.Send(ctx, vsock.Clock(guestCID, vsock.WholeBuffer(at))); err != nil {
			return err
		}
		sleep(ctx, time.Duration(random.IntN(300))*time.Millisecond)
		return nil
	})
}

// applyPauses stops the machine N times.
func applyPauses(f Fault, r *rig) error {
	control, err := r.control()
	if err != nil {
		return err
	}
	r.at(f.At, func(ctx context.Context) {
		for range f.N {
			if control.Stop(ctx) != nil {
				return // the machine has ended
			}
			sleep(ctx, f.For/time.Duration(f.N))
			if control.Continue(ctx) != nil || !sleep(ctx, f.For/time.Duration(f.N)) {
				return
			}
		}
	})
	return nil
}

// applyKey presses a key, or the keys of ctrl-alt-del, N times.
func applyKey(f Fault, r *rig) error {
	control, err := r.control()
	if err != nil {
		return err
	}
	r.cfg.Devices = append(r.cfg.Devices, vm.Device{Args: func([]int) []string {
		return []string{"-device", "virtio-keyboard-device"}
	}})
	names := []string{"power"}
	if f.What == ctrlAltDel {
		names = []string{"ctrl", "alt", "delete"}
	}
	var keys []map[string]string
	for _, name := range names {
		keys = append(keys, map[string]string{"type": "qcode", "data": name})
	}
	r.at(f.At, func(ctx context.Context) {
		for range f.N {
			if control.Execute(ctx, "send-key", map[string]any{"keys": keys}) != nil || !sleep(ctx, 300*time.Millisecond) {
				return
			}
		}
	})
	return nil
}
