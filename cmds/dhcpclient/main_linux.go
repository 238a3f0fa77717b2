// Dhcpclient configures network interfaces by DHCP and router advertisements, and keeps them so.
//
// Synopsis:
//
//	dhcpclient [-i IFACE[,IFACE...]] [-4] [-6] [-timeout D] [-n | -once | -release] [-json] [-v] [--force]
//
// Description:
//
// It does by hand what init does for KRUN_DHCP: asks for an IPv4 lease, listens to IPv6 routers, asks DHCPv6 servers where
// these say so, applies what it gets, prints it, and then stays to renew leases until it is interrupted.
//
// Exit codes: 0, 1 no answer in time, 2 wrong usage, 3 refused by the server, 4 not possible here: no such interface, say,
// or a lease that can't be applied. Of several interfaces the worst counts, but where one is configured and dhcpclient stays, it
// is 0 when it is interrupted.
package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/multicall/os"
	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/option"
	"github.com/krunbox/krunbox/pkg/signals"
)

const usage = `usage: dhcpclient [-i IFACE[,IFACE...]] [-4] [-6] [-timeout D] [-n | -once | -release] [-json] [-v] [--force]
dhcpclient gets addresses, routes and name servers by DHCP and from IPv6 routers, applies and prints them, and stays to
renew them until it is interrupted.
  -i IFACE     the interfaces, or all (default eth0); the first one's default route is used
  -4, -6       only IPv4, only IPv6
  -timeout D   how long to wait for an answer (default 10s)
  -n           only ask what would be offered, change nothing
  -once        end when it is applied: a lease is not renewed, and removed when it expires
  -release     give the IPv4 lease back to its server, and remove what it brought; init, if it keeps that lease, asks for
               it again when half of its time is over
  -json        print the result as JSON
  -v           print each packet in a line, to standard error
  --force      act on the machine's own network; needed inside a guest, where it is the guest's
Exit codes: 0; 1 no answer in time; 2 wrong usage; 3 the server refused; 4 the interface can't be used, or configured.
Examples:
  dhcpclient -n                      # who answers on eth0, and with what?
  dhcpclient -v -n -i eth1 -timeout 2s
  dhcpclient --force -once -json | jq .
  dhcpclient --force -v -4           # stays, and shows renewals
`

// Exit codes.
const (
	noAnswer = 1
	misused  = 2
	refused  = 3
	failed   = 4
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// client is what the options say.
type client struct {
	interfaces               string
	only4, only6             bool
	timeout                  time.Duration
	offerOnly, once, release bool
	asJSON, verbose, force   bool
	resume                   bool
	stdin                    io.Reader
	stdout, stderr           io.Writer
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := client{stdin: stdin, stdout: stdout, stderr: stderr}
	err := c.parse(args[min(1, len(args)):])
	if errors.Is(err, option.ErrHelp) {
		io.WriteString(stdout, usage)
		return 0
	}
	if err != nil {
		c.warn(err)
		return misused
	}
	if !c.offerOnly && !c.force {
		if err := guard.Check(); err != nil {
			c.warn(err)
			return failed
		}
	}
	if c.release {
		return c.giveBack()
	}
	return c.acquire()
}

// parse takes the options, of which those that contradict each other are an error.
func (c *client) parse(args []string) error {
	c.interfaces = "eth0"
	timeout := "10s"
	operands, err := option.Parse(args,
		option.Text("i", &c.interfaces), option.Flag("4", &c.only4), option.Flag("6", &c.only6),
		option.Text("timeout", &timeout), option.Flag("n", &c.offerOnly), option.Flag("once", &c.once),
		option.Flag("release", &c.release), option.Flag("json", &c.asJSON), option.Flag("v", &c.verbose),
		option.Flag("force", &c.force),
		option.Flag("resume", &c.resume)) // init's own: go on with the leases on standard input
	if err != nil {
		return err
	}
	c.timeout, err = option.Duration(timeout)
	exclusive := 0
	for _, given := range []bool{c.offerOnly, c.once, c.release} {
		if given {
			exclusive++
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("-timeout: %w", err)
	case len(operands) > 0:
		return fmt.Errorf("%s: %w", operands[0], errors.New("unexpected argument"))
	case exclusive > 1:
		return errors.New("-n, -once and -release exclude each other")
	case c.release && c.only6:
		return errors.New("-release is for IPv4")
	case c.release && c.interfaces == "all":
		return errors.New("-release needs the names of interfaces")
	}
	return nil
}

func (c *client) warn(err error) {
	io.WriteString(c.stderr, "dhcpclient: "+boot.Line(err)+"\n")
}

// config is what the options mean for a Network.
func (c *client) config() network.Config {
	cfg := network.Config{
		IPv4:      !c.only6 || c.only4,
		IPv6:      !c.only4 || c.only6,
		OfferOnly: c.offerOnly,
		Warn:      c.warn,
	}
	if c.interfaces != "all" {
		cfg.Interfaces = strings.Split(c.interfaces, ",")
	}
	if c.verbose {
		cfg.Trace = func(line string) { io.WriteString(c.stderr, line+"\n") }
	}
	return cfg
}

// acquire gets leases, prints them and, unless told otherwise, keeps them.
func (c *client) acquire() int {
	n := network.New(c.config())
	l := loop.Loop{Tasks: []loop.Task{n}, Warn: c.warn}
	if c.resume {
		// It was executed from a descriptor; in the list of processes it is to have a name.
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData("dhcpclient\x00"))), 0, 0, 0)
		handover, err := io.ReadAll(c.stdin)
		if err == nil {
			err = n.Resume(handover)
		}
		if err != nil {
			c.warn(err)
		}
		if len(n.Interfaces()) == 0 {
			return failed
		}
		return c.keep(&l)
	}
	if err := n.Start(); err != nil {
		c.warn(err)
		return failed
	}
	if err := n.WaitForAll(&l, c.timeout); err != nil {
		c.warn(err)
		return failed
	}
	var all []network.Status
	for _, i := range n.Interfaces() {
		all = append(all, i.Status())
	}
	code := c.report(all)
	// What one interface has is to be kept, whatever the others have not got.
	if c.offerOnly || c.once || !slices.ContainsFunc(all, configured) {
		return code
	}
	return c.keep(&l)
}

// keep renews leases until a signal says that it is enough.
func (c *client) keep(l *loop.Loop) int {
	pipe, err := signals.Open(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err != nil {
		c.warn(err)
		return failed
	}
	for len(l.Tasks) > 0 {
		if ready, err := l.Step(pipe.FD(), loop.Forever); ready || err != nil {
			return 0
		}
	}
	return failed
}

// configured tells whether an interface has got something.
func configured(s network.Status) bool {
	return !s.Failed && (s.Lease != nil || s.Lease6 != nil || len(s.Routers) > 0)
}

// report prints what there is, and returns the exit code it stands for.
func (c *client) report(all []network.Status) int {
	code := 0
	for _, s := range all {
		switch {
		case s.Failed:
			code = max(code, failed)
		case configured(s):
		case s.Refused:
			c.warn(fmt.Errorf("%s: %w", s.Name, errors.New("the server refused a lease")))
			code = max(code, refused)
		case !s.Carrier:
			c.warn(fmt.Errorf("%s is missing or not connected: %w", s.Name, unix.ENETDOWN))
			code = max(code, failed)
		default:
			c.warn(fmt.Errorf("%s: %w", s.Name, errors.New("no answer within "+c.timeout.String())))
			code = max(code, noAnswer)
		}
	}
	text := appendText
	if c.asJSON {
		text = appendJSON
	}
	if _, err := c.stdout.Write(text(nil, all)); err != nil {
		c.warn(err)
		return failed
	}
	return code
}

// giveBack releases the lease of each interface.
func (c *client) giveBack() int {
	code := 0
	for name := range strings.SplitSeq(c.interfaces, ",") {
		cfg := c.config()
		cfg.Interfaces, cfg.IPv4, cfg.IPv6 = []string{name}, true, false
		released, err := network.Release(cfg, c.timeout)
		switch {
		case errors.Is(err, network.ErrNoAnswer):
			c.warn(err)
			code = max(code, noAnswer)
		case err != nil:
			c.warn(err)
			code = max(code, failed)
		case c.asJSON:
			io.WriteString(c.stdout, string(appendReleased(nil, name, released))+"\n")
		default:
			io.WriteString(c.stdout, name+": released "+released.String()+"\n")
		}
	}
	return code
}
