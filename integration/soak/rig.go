package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
	"github.com/krunbox/krunbox/integration/vm"
)

// arch is the architecture of all guests.
const arch = "amd64"

// Names of the workload's ports.
const (
	stdinPort  = "krun-stdin"
	stdoutPort = "krun-stdout"
	stderrPort = "krun-stderr"
)

// Paths in the guest.
const (
	initPath   = "/init.krun"
	scriptPath = "/workload"
	agentPath  = "/agent"
)

// A rig is a machine with all that is to happen to it.
type rig struct {
	plan Plan
	lab  *Lab
	dir  string // for the files of this boot
	cfg  vm.Config

	intercept []virtiofs.Interceptor
	before    []string                    // shell commands that the agent executes before init starts
	agent     []string                    // shell commands that run beside init, see agentScript
	events    []func(context.Context)     // what happens after the start of init
	closers   []func() error              // called after the end
	ports     map[string]*kept            // output of ports
	control   func() (*vm.Control, error) // returns the same one each time

	processors []string // where they are, if the machine is late

	slowness float64 // of the host, see Observation

	begun     chan struct{} // closed when the guest looks up init
	beginOnce sync.Once
}

// Boot carries out a plan. It needs root, for the network and the owners of files.
func (l *Lab) Boot(ctx context.Context, p Plan) Observation {
	dir, err := os.MkdirTemp(l.dir, "boot-")
	if err != nil {
		return Observation{Failure: err}
	}
	defer os.RemoveAll(dir)
	r := &rig{plan: p, lab: l, dir: dir, slowness: slowness(), begun: make(chan struct{}), ports: map[string]*kept{}}
	r.control = sync.OnceValues(func() (*vm.Control, error) {
		control, err := vm.NewControl()
		if err == nil {
			control.AddTo(&r.cfg)
			r.onClose(control.Close)
		}
		return control, err
	})
	err = r.prepare(ctx)
	var o Observation
	if err == nil {
		o = r.run(ctx)
	}
	for _, f := range r.closers {
		f() // errors are those of guests that break rules
	}
	if err != nil {
		return Observation{Failure: err}
	}
	return o
}

func (r *rig) onClose(f func() error) { r.closers = append(r.closers, f) }

// prepare fills in the configuration of the machine.
func (r *rig) prepare(ctx context.Context) error {
	p := &r.plan
	r.cfg = vm.Config{
		Arch: arch, Init: r.lab.init, InitOneShot: true, MemMiB: p.MemMiB, CPUs: p.CPUs,
		Env: []string{
			fmt.Sprintf("KRUN_STOP_TIMEOUT=%d", stopTimeout/time.Second),
			fmt.Sprintf("KRUN_BLOCK_ROOT_TIMEOUT_MS=%d", deviceTimeout.Milliseconds()),
		},
		KernelMessages: r.lab.Verbose,
		Deadline:       scaled(p.Within, r.slowness) + killTime,
	}
	if r.lab.Verbose {
		r.cfg.Env = append(r.cfg.Env, "KRUN_DEBUG=1")
	}
	if p.PIDNamespace {
		r.cfg.Env = append(r.cfg.Env, "KRUN_PID_NAMESPACE=1")
	}
	if err := r.prepareRoot(ctx); err != nil {
		return err
	}
	r.prepareProgram()
	r.port(vm.Port{Name: reportPort})
	if p.Streams {
		for _, name := range []string{stdinPort, stdoutPort, stderrPort} {
			r.port(vm.Port{Name: name})
		}
	}
	for _, f := range p.Faults {
		if err := kindOf(f).apply(f, r); err != nil {
			return fmt.Errorf("%v: %w", f, err)
		}
	}
	r.prepareAgent()
	if err := r.watch(); err != nil {
		return err
	}
	r.cfg.Intercept = r.answer
	return nil
}

// watch notes what the processors of a machine do that is late.
func (r *rig) watch() error {
	control, err := r.control()
	if err != nil {
		return err
	}
	r.at(scaled(r.plan.Within, r.slowness), func(ctx context.Context) {
		reply, err := control.Query(ctx, "human-monitor-command", map[string]any{"command-line": "info registers -a"})
		var text string
		if err != nil || json.Unmarshal(reply, &text) != nil {
			return // it has ended meanwhile
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "RIP=") {
				r.processors = append(r.processors, strings.TrimSpace(line))
			}
		}
	})
	return nil
}

// killTime is how long a machine that is late may run on.
const killTime = 30 * time.Second

func kindOf(f Fault) kind {
	for _, k := range kinds {
		if k.name == f.Kind {
			return k
		}
	}
	panic("soak: no fault " + f.Kind)
}

func (r *rig) prepareRoot(ctx context.Context) error {
	p := &r.plan
	if p.Root == rootDirectory || p.needsAgent() {
		r.cfg.Root = filepath.Join(r.dir, "root")
		if err := r.lab.createRoot(ctx, r.cfg.Root); err != nil {
			return err
		}
	}
	for i, d := range p.disks() {
		path, err := r.lab.image(r.dir, d)
		if err != nil {
			return err
		}
		r.cfg.Disks = append(r.cfg.Disks, vm.Disk{Path: path})
		name := fmt.Sprintf("/dev/vd%c", 'a'+i)
		switch d.use {
		case "root":
			r.cfg.Env = append(r.cfg.Env, "KRUN_BLOCK_ROOT_DEVICE="+name)
		case "changes":
			r.cfg.Env = append(r.cfg.Env, "KRUN_ROOT_OVERLAY="+name)
		}
	}
	if p.Root == overlayTmpfs {
		r.cfg.Env = append(r.cfg.Env, "KRUN_ROOT_OVERLAY=tmpfs")
	}
	return nil
}

// prepareProgram passes the workload to init.
func (r *rig) prepareProgram() {
	p := &r.plan
	if !p.Configured {
		r.cfg.Files = append(r.cfg.Files, hostfs.File{Path: scriptPath, Data: []byte("#!/bin/sh\n" + p.script()), Mode: 0o755})
		r.cfg.Args = []string{scriptPath}
		if program := activities[p.Workload].program; program != "" {
			r.cfg.Args = []string{program}
		}
		return
	}
	type mount struct {
		Destination string `json:"destination"`
		Type        string `json:"type"`
		Source      string `json:"source"`
	}
	var config struct {
		Process struct {
			Args []string `json:"args"`
		} `json:"process"`
		Mounts []mount `json:"mounts,omitempty"`
	}
	config.Process.Args = p.args()
	for i, d := range p.disks() {
		if d.use == "data" {
			config.Mounts = append(config.Mounts, mount{"/data", d.fsType, fmt.Sprintf("/dev/vd%c", 'a'+i)})
		}
	}
	r.cfg.GuestConfig, _ = json.Marshal(config) // cannot fail
}

// port adds a port whose output is kept.
func (r *rig) port(port vm.Port) {
	out := &kept{}
	r.ports[port.Name] = out
	if port.Out == nil {
		port.Out = out
	} else {
		port.Out = io.MultiWriter(out, port.Out)
	}
	r.cfg.Ports = append(r.cfg.Ports, port)
}

// answer is the Interceptor of the machine: the sum of all delays, and the first error.
func (r *rig) answer(request virtiofs.Request) (sum virtiofs.Answer) {
	if request.Op == virtiofs.OpLookup && request.Path == initPath[1:] {
		r.beginOnce.Do(func() { close(r.begun) })
	}
	select {
	case <-r.begun:
	default:
		return sum // the kernel's requests
	}
	if request.Path == initPath[1:] || request.Path == agentPath[1:] {
		return sum
	}
	for _, f := range r.intercept {
		a := f(request)
		sum.After += a.After
		if sum.Error == 0 {
			sum.Error = a.Error
		}
	}
	return sum
}

// at has f called at a time after the start of init, unless the machine ends before. f must return
// when its context ends.
func (r *rig) at(after time.Duration, f func(context.Context)) {
	r.events = append(r.events, func(ctx context.Context) {
		select {
		case <-r.begun:
		case <-ctx.Done():
			return
		}
		if sleep(ctx, after) {
			f(ctx)
		}
	})
}

// sleep waits for d. It returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// run boots the machine and returns what the host sees.
func (r *rig) run(ctx context.Context) Observation {
	running, ended := context.WithCancel(ctx)
	var events sync.WaitGroup
	for _, f := range r.events {
		events.Go(func() { f(running) })
	}
	result, err := vm.Run(ctx, r.cfg)
	ended()
	events.Wait()
	o := Observation{
		Codes: result.ExitCodes, Duration: result.Duration, Slowness: r.slowness, Console: plain(result.Console),
		Ports: map[string][]byte{}, Images: map[string]error{}, Processors: r.processors,
	}
	for name, out := range r.ports {
		o.Ports[name] = plain(out.bytes())
	}
	var guest *vm.GuestError
	if errors.As(err, &guest) {
		o.Kernel, o.BeforeInit = guest.Kernel, guest.BeforeInit
	}
	switch {
	case errors.Is(err, vm.ErrDeadline):
		o.Killed = true
	case err != nil && !errors.Is(err, vm.ErrNoExitCode):
		if guest == nil || ctx.Err() != nil {
			o.Failure = err
			return o
		}
		o.Failure = err
	}
	for i, d := range r.plan.disks() {
		if !o.Killed && len(o.Codes) > 0 && !r.plan.fails(i) {
			o.Images[d.use] = diskimage.Check(r.cfg.Disks[i].Path, d.fsType)
		}
	}
	return o
}

// slowness returns how many programs compete for each processor of the host, from 1 to 4.
func slowness() float64 {
	var load float64
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err != nil {
		return 1
	}
	return min(max(load/float64(runtime.NumCPU()), 1), 4)
}

// plain returns the output of a terminal with LF line ends.
func plain(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// kept is a Writer that keeps the first and the last bytes written to it.
type kept struct {
	mu          sync.Mutex
	first, last []byte
}

const keptBytes = 64 << 10

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := min(len(p), keptBytes-len(k.first))
	k.first = append(k.first, p[:n]...)
	k.last = append(k.last, p[n:]...)
	if len(k.last) > keptBytes {
		k.last = append([]byte(nil), k.last[len(k.last)-keptBytes:]...)
	}
	return len(p), nil
}

func (k *kept) bytes() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append(bytes.Clone(k.first), k.last...)
}

// agentScript is executed by the kernel in place of init, where a fault needs it. It starts commands
// that run beside init, in a mount namespace of their own, and executes init.
const agentScript = `#!/bin/sh
unshare -m /bin/sh -c '
	exec </dev/null >/dev/null 2>&1
	mount -t sysfs sys /sys
	mount -t proc proc /proc
	started() { until [ "$(cat /proc/1/comm)" = init.krun ]; do :; done; }
	%s
	echo >/ready
	%s
	wait
' &
until [ -e /ready ]; do :; done
exec ` + initPath + ` "$@"
`

// needsAgent reports whether a fault needs commands beside init.
func (p *Plan) needsAgent() bool {
	return p.has(lateDisk, "") || p.has(lostDisk, "") || p.has(signals, "")
}

func (r *rig) prepareAgent() {
	if !r.plan.needsAgent() {
		return
	}
	script := fmt.Appendf(nil, agentScript, strings.Join(r.before, "\n"), "( "+strings.Join(r.agent, " ) &\n( ")+" ) &")
	r.cfg.Files = append(r.cfg.Files,
		hostfs.File{Path: initPath, Source: r.lab.init, Mode: 0o755, OneShot: true},
		hostfs.File{Path: agentPath, Data: script, Mode: 0o755})
	r.cfg.Init, r.cfg.InitOneShot, r.cfg.InitPath = "", false, agentPath
}
