// Krun-timesync keeps the clock at that of the host, which sends its time over vsock.
//
// Synopsis:
//
//	krun-timesync [-once [-timeout D]] [-threshold D] [-slew] [-n] [-json] [-v] [--force]
//
// Description:
//
// Krun-timesync listens to vsock port 123, accepts datagrams from port 123 of the host, and steps
// the clock if it is off by more than the threshold. It runs until it is interrupted. On SIGUSR1 it
// prints a summary of the datagrams so far.
//
// Init does the same by itself, and only one process can listen. If init keeps the clock, -n prints
// the last datagram that init has accepted, from the file /dev/.clock.json.
//
// With -slew, a clock that is off by less is corrected gradually and never goes back. For an offset
// of 100 ms, the correction takes about a minute, in which the clock runs at 98.7 to 101.3 % of its
// speed.
//
// Exit codes: 0; 1 no datagram in time; 2 wrong usage; 4 the machine has no vsock, the port is in
// use, or the clock can't be set.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/timesync"
)

const usage = `usage: krun-timesync [-once [-timeout D]] [-threshold D] [-slew] [-n] [-json] [-v]
                     [--force]
Keep the clock at that of the host, which sends its time over vsock, usually once a minute, until
interrupted. SIGUSR1 prints a summary.
  -once          end after one datagram; print the offset (host minus guest) and what was done
  -timeout D     with -once: how long to wait for the datagram (default 70s)
  -threshold D   step the clock if it is off by more (default 100ms)
  -slew          if it is off by less, correct it gradually: an eighth of the rest each second
  -n             print the offset of each datagram, change nothing; where init keeps the clock, that
                 of its last one
  -json          print JSON, an object per line
  -v             print a line for each datagram, also if it is refused, to standard error
  --force        set this machine's clock although process 1 is not krunbox
Exit codes: 0; 1 no datagram in time; 2 wrong usage; 4 no vsock, the port is in use, or the clock
can't be set.
Examples:
  krun-timesync -n                   # how far off is the clock?
  krun-timesync -once -json | jq .offsetNs
  krun-timesync -slew -v &
  kill -USR1 $!
`

// Exit codes.
const (
	noDatagram = 1
	misused    = 2
	failed     = 4
)

// defaultTimeout is longer than the interval at which the host sends datagrams, a minute.
const defaultTimeout = 70 * time.Second

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// command has the options, the streams and the result of the command.
type command struct {
	once, reportOnly, asJSON, verbose, force bool
	inherit                                  bool // used by init: standard input is the socket
	timeout                                  time.Duration
	policy                                   timesync.Policy
	stdout, stderr                           io.Writer

	accepted *timesync.Event // the last datagram that was not refused
}

func run(args []string, stdout, stderr io.Writer) int {
	c := command{
		timeout: defaultTimeout,
		policy:  timesync.Policy{Threshold: timesync.DefaultThreshold},
		stdout:  stdout,
		stderr:  stderr,
	}
	err := c.parse(args[min(1, len(args)):])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
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

// parse sets the options. Its error may be flag.ErrHelp.
func (c *command) parse(args []string) error {
	flags := flag.NewFlagSet("krun-timesync", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&c.once, "once", false, "")
	flags.BoolVar(&c.policy.Slew, "slew", false, "")
	flags.BoolVar(&c.reportOnly, "n", false, "")
	flags.BoolVar(&c.asJSON, "json", false, "")
	flags.BoolVar(&c.verbose, "v", false, "")
	flags.BoolVar(&c.force, "force", false, "")
	flags.BoolVar(&c.inherit, "inherit", false, "")
	withTimeout := false
	flags.Func("timeout", "", func(s string) (err error) {
		withTimeout = true
		c.timeout, err = duration(s)
		return err
	})
	flags.Func("threshold", "", func(s string) (err error) {
		c.policy.Threshold, err = duration(s)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if withTimeout && !c.once {
		return errors.New("-timeout is for -once")
	}
	return nil
}

// duration parses a time that is not negative.
func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errors.New("want a time such as 500ms, 10s or 2m")
	}
	return d, nil
}

func (c *command) warn(err error) { fmt.Fprintln(c.stderr, "krun-timesync:", boot.Line(err)) }

// sync keeps the clock until a signal or, with -once, a datagram arrives. It returns the exit code.
func (c *command) sync() int {
	// The process has another name if it was executed from a descriptor or as krunbox.
	name := []byte("krun-timesync\x00")
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)

	s := timesync.New(c.config())
	defer s.Close()
	if err := c.open(s); err != nil {
		if c.reportOnly && errors.Is(err, unix.EADDRINUSE) {
			return c.reportLast(timesync.LastFile)
		}
		c.warn(err)
		if c.once || s.Missing() {
			return failed
		}
	}
	// SIGPIPE would end the process when the reader of its output has exited.
	signals, err := loop.NotifySignals(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1,
		unix.SIGPIPE)
	if err != nil {
		c.warn(err)
		return failed
	}
	defer signals.Close()
	if c.verbose && s.FD() >= 0 {
		fmt.Fprintln(c.stderr, "listening to vsock port 123")
	}
	return c.wait(s, signals)
}

// open gives the Sync its socket.
func (c *command) open(s *timesync.Sync) error {
	if c.inherit {
		s.Adopt(0)
		return nil
	}
	err := s.Open()
	if s.Missing() {
		return errors.New("this machine has no vsock with datagrams")
	}
	return err
}

// reportLast prints the Last in the given file. It returns the exit code.
func (c *command) reportLast(file string) int {
	last, err := timesync.ReadLast(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.warn(errors.New("another process keeps the clock, and has had no datagram from the host yet"))
		return noDatagram
	case err != nil:
		c.warn(err)
		return failed
	case c.asJSON:
		c.print(jsonLine(last))
	default:
		result := last.Action
		if last.Error != "" {
			result = "not " + result + ": " + last.Error
		}
		c.print(fmt.Sprintf("another process keeps the clock; the last datagram came at %s: offset %v: %s\n",
			last.Time.Format(time.RFC3339), last.Offset, result))
	}
	return 0
}

// wait runs the Sync until a signal or, with -once, a datagram arrives. It returns the exit code.
func (c *command) wait(s *timesync.Sync, signals *loop.Signals) int {
	tasks := loop.Loop{Tasks: []loop.Task{s}, Warn: c.warn}
	deadline := loop.Now() + c.timeout
	for !c.once || c.accepted == nil {
		limit := loop.Forever
		if c.once {
			if limit = deadline - loop.Now(); limit <= 0 {
				c.warn(fmt.Errorf("no datagram from the host within %v", c.timeout))
				return noDatagram
			}
		}
		if _, err := tasks.Step(signals.FD(), limit); err != nil {
			c.warn(err)
			return failed
		}
		if len(tasks.Tasks) == 0 { // it panicked, and was reported
			return failed
		}
		for sig := signals.Next(); sig != 0; sig = signals.Next() {
			switch {
			case sig == unix.SIGUSR1:
				c.print(countsLine(s.Counts(), c.asJSON))
			case sig == unix.SIGPIPE:
			case c.once:
				return failed
			default:
				return 0
			}
		}
	}
	if c.accepted.Err != nil {
		return failed
	}
	return 0
}

// config returns the configuration of the Sync.
func (c *command) config() timesync.Config {
	cfg := timesync.Config{Policy: c.policy, Warn: c.warn, LastFile: timesync.LastFile}
	if c.reportOnly {
		cfg.Clock, cfg.LastFile = readOnlyClock{}, ""
	}
	if c.once || c.reportOnly || c.verbose {
		cfg.Trace = c.trace
	}
	return cfg
}

// readOnlyClock is the clock with -n: its methods do not change the clock.
type readOnlyClock struct{ timesync.SystemClock }

func (readOnlyClock) Step(time.Duration) error { return nil }
func (readOnlyClock) Slew(time.Duration) error { return nil }

// trace prints a datagram as the options require, and sets c.accepted.
func (c *command) trace(e timesync.Event) {
	if c.verbose {
		fmt.Fprint(c.stderr, traceLine(e))
	}
	if e.Action == timesync.Refuse {
		return
	}
	c.accepted = &e
	if c.once || c.reportOnly {
		c.print(eventLine(e, c.reportOnly, c.asJSON))
	}
}

// print writes a line to standard output.
func (c *command) print(line string) {
	if _, err := io.WriteString(c.stdout, line); err != nil {
		c.warn(err)
	}
}

// traceLine returns a line for any datagram.
func traceLine(e timesync.Event) string {
	from := fmt.Sprintf("from %d:%d: ", e.From.CID, e.From.Port)
	if e.Action == timesync.Refuse {
		return from + "refused: " + boot.Line(e.Err) + "\n"
	}
	return from + eventLine(e, false, false)
}

// eventLine returns a line of text or JSON for a datagram that was accepted. With reportOnly, the
// clock was not changed.
func eventLine(e timesync.Event, reportOnly, asJSON bool) string {
	if asJSON {
		object := jsonio.NewObject("offsetNs", int64(e.Offset), "action", e.Action,
			"done", !reportOnly && e.Err == nil)
		if e.Err != nil {
			object = append(object, jsonio.Member{Name: "error", Value: boot.Line(e.Err)})
		}
		return jsonLine(object)
	}
	action := e.Action.String()
	switch {
	case e.Err != nil:
		action = "not " + action + ": " + boot.Line(e.Err)
	case reportOnly && e.Action != timesync.Keep:
		action = "would be " + action
	}
	return fmt.Sprintf("offset %v: %s\n", e.Offset, action)
}

// countsLine returns a line of text or JSON with the counts.
func countsLine(c timesync.Counts, asJSON bool) string {
	if asJSON {
		return jsonLine(jsonio.NewObject("received", c.Received, "refused", c.Refused,
			"stepped", c.Stepped, "slewed", c.Slewed, "offsetNs", int64(c.Offset)))
	}
	return fmt.Sprintf("received %d, refused %d, stepped %d, slewed %d, last offset %v\n",
		c.Received, c.Refused, c.Stepped, c.Slewed, c.Offset)
}

// jsonLine returns a jsonio.Object or jsonio.Appender as a line of JSON.
func jsonLine(object any) string { return string(jsonio.Append(nil, object)) + "\n" }
