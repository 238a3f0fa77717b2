package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
)

const (
	consoleKept = 256 << 10 // maximum bytes of console output in a Result
	stderrKept  = 4 << 10   // maximum bytes of QEMU's messages in an error
	quotedLines = 12        // maximum lines of console output in an error
)

// firstExtraFD is the child's file descriptor for the first of exec.Cmd's ExtraFiles.
const firstExtraFD = 3

// machine is one run of QEMU, with the host's ends of its connections.
type machine struct {
	cfg  *Config
	qemu *exec.Cmd

	shares    []*share // the root, then Config.Shares
	streams   []*stream
	guestEnds []*os.File // QEMU's ends of the connections, closed here after QEMU's start
	dirs      []string   // temporary ones
	memory    *os.File   // of the guest

	console tail
	stderr  tail

	mu           sync.Mutex
	exitCodes    []int
	rootRemovals int
}

// share is a file system that the host serves.
type share struct {
	fsys   *hostfs.FS
	server *virtiofs.Server
	conn   *net.UnixConn // served by server
}

func (s *share) close() {
	s.server.Close()
	s.fsys.Close()
	s.conn.Close()
}

// newMachine returns a machine that is ready for run: with QEMU's command and its connections.
func newMachine(cfg *Config) (*machine, error) {
	board := cfg.board()
	cmdline, err := kernelCmdline(cfg, board.cmdline)
	if err != nil {
		return nil, err
	}
	m := &machine{cfg: cfg, console: tail{max: consoleKept}, stderr: tail{max: stderrKept}}
	m.qemu = exec.Command(board.qemu, board.qemuArgs(cfg, cmdline)...)
	m.qemu.Stdout, m.qemu.Stderr = &m.stderr, &m.stderr
	m.qemu.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,            // keeps Ctrl-C of a terminal away from QEMU
		Pdeathsig: syscall.SIGKILL, // QEMU ends with this process; see run for the thread
	}
	if err := m.connect(); err != nil {
		m.close()
		return nil, err
	}
	if board.pci {
		pciNames(m.qemu.Args)
	}
	return m, nil
}

// connect creates the connections to QEMU and the devices, and adds QEMU's arguments for them.
func (m *machine) connect() error {
	if err := m.addMemory(); err != nil {
		return err
	}
	root := hostfs.Config{
		Base:        m.cfg.Root,
		ReadOnly:    m.cfg.ReadOnly,
		HostChanges: m.cfg.HostChanges,
		Files:       m.cfg.Files,
		Dirs:        m.cfg.Dirs,
		OnExitCode:  m.reportExitCode,
	}
	if m.cfg.TemporaryRoot {
		root.OnRemoveRootDir = m.removeRoot
	}
	if err := m.addShare(rootTag, root); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if m.cfg.Intercept != nil {
		m.shares[0].server.SetInterceptor(m.cfg.Intercept)
	}
	for _, s := range m.cfg.Shares {
		if err := m.addShare(s.Tag, hostfs.Config{Base: s.Dir, ReadOnly: s.ReadOnly}); err != nil {
			return fmt.Errorf("share %s: %w", s.Tag, err)
		}
	}
	disks := slices.Clone(m.cfg.Disks)
	if m.cfg.board().reversed {
		slices.Reverse(disks)
	}
	for i, disk := range disks {
		id := fmt.Sprintf("disk%d", i)
		m.args("-drive", "if=none,format=raw,id="+id+disk.options())
		device := "virtio-blk-device,drive=" + id
		if disk.Errors != nil { // the machine would stop at some errors
			device += ",rerror=report,werror=report"
		}
		m.args("-device", device)
	}
	if !m.cfg.NoConsole {
		conn, err := m.chardev("console")
		if err != nil {
			return err
		}
		if m.cfg.board().serial != "" {
			m.args("-serial", "chardev:console")
		} else {
			m.args("-device", "virtconsole,bus=serial.0,chardev=console")
		}
		var out io.Writer = &m.console
		if m.cfg.Console != nil {
			out = io.MultiWriter(out, m.cfg.Console)
		}
		m.streams = append(m.streams, &stream{what: "console", conn: conn, in: m.cfg.ConsoleIn, out: out,
			unread: m.cfg.ConsoleUnread})
	}
	for i, port := range m.cfg.Ports {
		id := fmt.Sprintf("port%d", i)
		if port.Unconnected {
			dir, err := os.MkdirTemp("", "vm-port-")
			if err != nil {
				return err
			}
			m.dirs = append(m.dirs, dir)
			m.args("-chardev", "socket,server=on,wait=off,id="+id+",path="+optionValue(dir+"/port"))
			m.args("-device", "virtserialport,bus=serial.0,chardev="+id+",name="+optionValue(port.Name))
			continue
		}
		conn, err := m.chardev(id)
		if err != nil {
			return err
		}
		m.args("-device", "virtserialport,bus=serial.0,chardev="+id+",name="+optionValue(port.Name))
		out := port.Out
		if out == nil {
			out = io.Discard
		}
		m.streams = append(m.streams, &stream{what: "port " + port.Name, conn: conn, in: port.In, out: out,
			inEnd: true, unread: port.Unread})
	}
	for _, device := range m.cfg.Devices {
		fds := make([]int, len(device.Files))
		for i, f := range device.Files {
			fds[i] = m.passFile(f)
		}
		m.args(device.Args(fds)...)
	}
	return nil
}

// addShare adds a virtiofs file system with the given tag.
func (m *machine) addShare(tag string, cfg hostfs.Config) error {
	fsys, err := hostfs.New(cfg)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("share%d", len(m.shares))
	conn, err := m.chardev(id)
	if err != nil {
		return err
	}
	m.shares = append(m.shares, &share{fsys, virtiofs.New(fsys, fsys.MountOptions()), conn})
	m.args("-device", "vhost-user-fs-device,chardev="+id+",tag="+optionValue(tag))
	return nil
}

// chardev adds a socket to QEMU as the character device id and returns the host's end of it.
func (m *machine) chardev(id string) (*net.UnixConn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), id), os.NewFile(uintptr(fds[1]), id)
	defer ours.Close() // FileConn duplicates it
	m.guestEnds = append(m.guestEnds, theirs)
	growSendBuffer(fds[1])
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	m.args("-chardev", fmt.Sprintf("socket,id=%s,fd=%d", id, m.passFile(theirs)))
	return c.(*net.UnixConn), nil
}

// passFile makes QEMU inherit f and returns its file descriptor in QEMU.
func (m *machine) passFile(f *os.File) int {
	m.qemu.ExtraFiles = append(m.qemu.ExtraFiles, f)
	return firstExtraFD + len(m.qemu.ExtraFiles) - 1
}

func (m *machine) args(args ...string) {
	m.qemu.Args = append(m.qemu.Args, args...)
}

// run starts QEMU and returns when QEMU has ended and everything of the machine is closed. It can
// be called once.
func (m *machine) run(ctx context.Context) (Result, error) {
	defer m.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	var serving sync.WaitGroup
	for _, s := range m.shares {
		serving.Go(func() {
			if err := s.server.ServeConn(s.conn); err != nil {
				stop(fmt.Errorf("virtiofs: %w", err))
			}
		})
	}

	// The host's kernel sends Pdeathsig when the thread that started QEMU ends, not the process. So
	// this goroutine keeps its thread until QEMU has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m.cfg.Log.Print(commandLine(m.qemu.Args))
	start := time.Now()
	if err := m.qemu.Start(); err != nil {
		m.close()
		serving.Wait()
		return m.result(0), m.startError(err)
	}
	m.closeGuestEnds() // otherwise the connections would stay open after QEMU's end
	kill := context.AfterFunc(ctx, func() { m.qemu.Process.Kill() })
	defer kill()

	for _, s := range m.streams {
		s.start(stop)
	}
	waitErr := m.qemu.Wait()
	duration := time.Since(start)
	for _, s := range m.streams {
		s.wait()
	}
	result := m.result(duration)
	err := m.verdict(ctx, waitErr, result)
	m.close()
	serving.Wait()
	return result, err
}

// close closes all connections. It may be called more than once.
func (m *machine) close() {
	m.closeGuestEnds()
	if m.memory != nil {
		m.memory.Close()
	}
	for _, dir := range m.dirs {
		os.RemoveAll(dir)
	}
	for _, s := range m.streams {
		s.conn.Close()
	}
	for _, s := range m.shares {
		s.close()
	}
}

func (m *machine) closeGuestEnds() {
	for _, f := range m.guestEnds {
		f.Close()
	}
	m.guestEnds = nil
}

func (m *machine) reportExitCode(code int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exitCodes = append(m.exitCodes, int(code))
	if m.cfg.OnExitCode != nil {
		m.cfg.OnExitCode(int(code))
	}
}

func (m *machine) removeRoot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rootRemovals++
}

func (m *machine) result(duration time.Duration) Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Result{
		ExitCode:     -1,
		ExitCodes:    m.exitCodes,
		RootRemovals: m.rootRemovals,
		Console:      m.console.bytes(),
		Requests:     m.shares[0].server.Requests,
		Duration:     duration,
	}
	if n := len(r.ExitCodes); n > 0 {
		r.ExitCode = r.ExitCodes[n-1]
	}
	return r
}

// startError explains why QEMU could not be started.
func (m *machine) startError(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("the %s command is missing: install it (Debian: apt-get install %s)",
			m.qemu.Path, m.cfg.board().install)
	}
	return fmt.Errorf("start QEMU: %w", err)
}

// verdict returns Run's error after QEMU has ended with waitErr.
func (m *machine) verdict(ctx context.Context, waitErr error, result Result) error {
	guestError := func(err error) error {
		e := &GuestError{Err: err, Console: lastLines(result.Console, quotedLines)}
		m.addKernelLog(e)
		return e
	}
	switch {
	case ctx.Err() != nil:
		return guestError(fmt.Errorf("virtual machine stopped: %w", context.Cause(ctx)))
	case waitErr != nil:
		return &QEMUError{Status: waitErr.Error(), Stderr: strings.TrimSpace(string(m.stderr.bytes()))}
	case len(result.ExitCodes) == 0:
		return guestError(ErrNoExitCode)
	}
	return nil
}

// lastLines returns the last n non-empty lines of output.
func lastLines(output []byte, n int) string {
	var lines []string
	for line := range bytes.Lines(output) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// commandLine returns the command args, quoted for a shell.
func commandLine(args []string) string {
	var words []string
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'`$&|;<>()*?[]{}~#\\") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}
