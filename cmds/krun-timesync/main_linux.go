// Krun-timesync keeps the clock at that of the host, which sends its time over vsock.
//
// Synopsis:
//
//	krun-timesync [-once [-timeout D]] [-threshold D] [-slew] [-n] [-json] [-v] [--force]
//
// Description:
//
// It does by hand what init does: it listens to vsock port 123, believes what comes from port 123 of the host, and steps
// the clock if that is off by more than the threshold. It stays until it is interrupted; on SIGUSR1 it prints what has come
// so far.
//
// With -slew, a clock that is off by less is corrected gradually. It then never goes back, and runs at 98.7 to 101.3 % of its
// speed for an offset of 100 ms, which is made up for in a minute.
//
// Exit codes: 0, 1 no datagram in time, 2 wrong usage, 4 not possible here: no vsock, its port is taken, or the clock can't
// be set.
package main

import (
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/multicall/os"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/timesync"
)

const usage = `usage: krun-timesync [-once [-timeout D]] [-threshold D] [-slew] [-n] [-json] [-v] [--force]
krun-timesync keeps the clock at that of the host, which sends its time over vsock, once a minute as a rule. It stays until
it is interrupted, and prints a summary on SIGUSR1. Where init keeps the clock, the port is taken.
  -once          end after one datagram, and print the offset (host less guest) and what was done
  -timeout D     with -once: how long to wait for it (default 70s)
  -threshold D   step the clock if it is off by more (default 100ms)
  -slew          correct it gradually if it is off by less: an eighth of the rest each second, and never back
  -n             print the offset of each datagram, change nothing
  -json          print JSON, an object a line
  -v             print each datagram in a line, also those that are refused, to standard error
  --force        set the machine's own clock; needed inside a guest, where it is the guest's
Exit codes: 0; 1 no datagram in time; 2 wrong usage; 4 no vsock, its port is taken, or the clock can't be set.
Examples:
  krun-timesync -n -once             # how far off is this clock?
  krun-timesync --force -once -json | jq .offsetNs
  krun-timesync --force -slew -v &
  kill -USR1 $!
`

// Exit codes.
const (
	noDatagram = 1
	misused    = 2
	failed     = 4
)

// defaultTimeout is a little more than the time between two datagrams.
const defaultTimeout = 70 * time.Second

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// command is what the options say.
type command struct {
	once, reportOnly, asJSON, verbose, force bool
	inherit                                  bool
	timeoutText, thresholdText               string
	timeout                                  time.Duration
	policy                                   timesync.Policy
	stdout, stderr                           io.Writer

	counted *timesync.Event // the last datagram that was believed
}

func run(args []string, stdout, stderr io.Writer) int {
	c := command{stdout: stdout, stderr: stderr}
	operands, err := option.Parse(args[min(1, len(args)):],
		option.Flag("once", &c.once), option.Text("timeout", &c.timeoutText), option.Text("threshold", &c.thresholdText),
		option.Flag("slew", &c.policy.Slew), option.Flag("n", &c.reportOnly), option.Flag("json", &c.asJSON),
		option.Flag("v", &c.verbose), option.Flag("force", &c.force),
		option.Flag("inherit", &c.inherit)) // init's own: standard input is the socket
	if errors.Is(err, option.ErrHelp) {
		io.WriteString(stdout, usage)
		return 0
	}
	if err == nil {
		err = c.check(operands)
	}
	if err != nil {
		c.warn(err)
		return misused
	}
	if !c.reportOnly && !c.force {
		if err := guard.Check(); err != nil {
			c.warn(err)
			return failed
		}
	}
	return c.sync()
}

func (c *command) check(operands []string) (err error) {
	if c.timeoutText != "" && !c.once {
		return errors.New("-timeout is for -once")
	}
	c.timeout, c.policy.Threshold = defaultTimeout, timesync.DefaultThreshold
	if c.timeoutText != "" {
		if c.timeout, err = option.Duration(c.timeoutText); err != nil {
			return fmt.Errorf("-timeout: %w", err)
		}
	}
	if c.thresholdText != "" {
		if c.policy.Threshold, err = option.Duration(c.thresholdText); err != nil {
			return fmt.Errorf("-threshold: %w", err)
		}
	}
	if len(operands) > 0 {
		return fmt.Errorf("%s: %w", operands[0], errors.New("unexpected argument"))
	}
	return nil
}

func (c *command) warn(err error) {
	io.WriteString(c.stderr, "krun-timesync: "+boot.Line(err)+"\n")
}

// sync keeps the clock, until a signal or, with -once, a datagram says that it is enough.
func (c *command) sync() int {
	// Executed from a descriptor, or as krunbox, it has another name in the list of processes.
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData("krun-timesync\x00"))), 0, 0, 0)

	s := timesync.New(c.config())
	defer s.Close()
	if c.inherit {
		s.Adopt(0)
	} else if err := s.Open(); err != nil {
		c.warn(err)
		if c.once {
			return failed
		}
	} else if s.FD() < 0 {
		c.warn(errors.New("this machine has no vsock with datagrams"))
		return failed
	}
	pipe, err := signals.Open(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1)
	if err != nil {
		c.warn(err)
		return failed
	}
	if c.verbose && s.FD() >= 0 {
		io.WriteString(c.stderr, "listening to vsock port 123\n")
	}
	l := loop.Loop{Tasks: []loop.Task{s}, Warn: c.warn}
	if c.once {
		return c.waitForOne(&l, pipe, s)
	}
	for len(l.Tasks) > 0 {
		if end, err := c.step(&l, loop.Forever, pipe, s); end || err != nil {
			return 0
		}
	}
	return failed
}

// config is what the options mean for a Sync.
func (c *command) config() timesync.Config {
	cfg := timesync.Config{Policy: c.policy, Warn: c.warn}
	if c.reportOnly {
		cfg.Clock = untouched{}
	}
	if c.once || c.reportOnly || c.verbose {
		cfg.Trace = c.trace
	}
	return cfg
}

// untouched is the clock when nothing is to be changed.
type untouched struct{ timesync.SystemClock }

func (untouched) Step(time.Duration) error { return nil }
func (untouched) Slew(time.Duration) error { return nil }

func (c *command) trace(e timesync.Event) {
	if c.verbose {
		_, _ = c.stderr.Write(appendTrace(nil, e))
	}
	if e.Action == timesync.Refuse {
		return
	}
	c.counted = &e
	if c.once || c.reportOnly {
		c.print(appendEvent(nil, e, c.reportOnly, c.asJSON))
	}
}

func (c *command) print(line []byte) {
	if _, err := c.stdout.Write(line); err != nil {
		c.warn(err)
	}
}

// step waits for datagrams and signals. It returns whether a signal says that it is enough.
func (c *command) step(l *loop.Loop, limit time.Duration, pipe *signals.Pipe, s *timesync.Sync) (end bool, err error) {
	ready, err := l.Step(pipe.FD(), limit)
	if !ready || err != nil {
		return false, err
	}
	for {
		sig, err := pipe.Next()
		if sig != unix.SIGUSR1 || err != nil {
			return true, err
		}
		c.print(appendCounts(nil, s.Counts(), c.asJSON))
		if !pipe.Pending() {
			return false, nil
		}
	}
}

// waitForOne waits for a datagram that can be believed.
func (c *command) waitForOne(l *loop.Loop, pipe *signals.Pipe, s *timesync.Sync) int {
	deadline := loop.Now() + c.timeout
	for c.counted == nil && len(l.Tasks) > 0 {
		left := deadline - loop.Now()
		if left <= 0 {
			c.warn(errors.New("no datagram from the host within " + c.timeout.String()))
			return noDatagram
		}
		if end, err := c.step(l, left, pipe, s); end || err != nil {
			return failed
		}
	}
	if c.counted == nil || c.counted.Err != nil {
		return failed
	}
	return 0
}
