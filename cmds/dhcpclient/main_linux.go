// Dhcpclient configures network interfaces by DHCP and IPv6 router advertisements.
//
// Synopsis:
//
//	dhcpclient [-i IFACE[,IFACE...]] [-4] [-6] [-timeout D] [-n | -once | -release] [-json] [-v]
//	           [--force]
//	dhcpclient -status [-json]
//
// Description:
//
// Dhcpclient asks for an IPv4 lease, listens to IPv6 routers, and asks a DHCPv6 server if a router
// refers to one. It applies and prints the results, and keeps running to renew the leases until it
// is interrupted.
//
// If the host has set KRUN_DHCP, init does the same by itself. The option -status prints the leases
// of init from the file /dev/.network.json, which init rewrites after each change:
//
//	interface       eth0
//	state           BOUND
//	address         10.0.2.15/24
//	server          10.0.2.2
//	routes          0.0.0.0/0 via 10.0.2.2
//	dns             10.0.2.3
//	lease           24h0m0s
//	renew           12h0m0s
//	rebind          21h0m0s
//	mtu             1500
//	IPv6 routers    fe80::2
//	next renewal    2026-12-01T07:38:53Z, in 11h57m0s
//	lease ends      2026-12-01T19:41:52Z, in 24h0m0s
//
// The state is a state of RFC 2131, or the reason why there is no lease. In the file, the names of
// times end in Ns. Such times are nanoseconds of CLOCK_BOOTTIME, which steps of the clock do not
// change.
//
// Exit codes: 0; 1 no answer in time; 2 wrong usage; 3 a server refused a lease; 4 failure, such as
// a missing interface or a lease that can't be applied. With several interfaces, the highest code
// counts. If dhcpclient keeps running because at least one interface is configured, the code is 0
// when it is interrupted.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/guard"
	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/network"
	"github.com/krunbox/krunbox/pkg/system"
)

const usage = `usage: dhcpclient [-i IFACE[,IFACE...]] [-4] [-6] [-timeout D] [-n | -once | -release]
                  [-json] [-v] [--force]
       dhcpclient -status [-json]
dhcpclient gets addresses, routes and name servers by DHCP and from IPv6 routers, applies and prints
them, and keeps running to renew the leases until it is interrupted.
  -i IFACE     the interfaces, or "all" (default eth0); the first one's default route is preferred
  -4, -6       only IPv4, only IPv6
  -timeout D   how long to wait for an answer (default 10s)
  -n           print what servers offer, change nothing
  -once        exit when the lease is applied; it is not renewed, and removed when it expires
  -release     return the IPv4 lease to its server and remove its configuration; if init keeps that
               lease, init asks for it again at half of its time
  -status      print the leases, routers and name servers that init holds, and when it renews them
  -json        print the result as JSON
  -v           print a line for each packet, to standard error
  --force      act on this machine's network although process 1 is not krunbox
Exit codes: 0; 1 no answer in time; 2 wrong usage; 3 a server refused a lease; 4 another failure.
Examples:
  dhcpclient -status                 # what has init got, and until when?
  dhcpclient -n                      # which server answers on eth0, and what does it offer?
  dhcpclient -v -n -i eth1 -timeout 2s
  dhcpclient -once -json | jq .
  dhcpclient -v -4                   # keeps running and shows renewals
`

// Exit codes.
const (
	noAnswer = 1
	misused  = 2
	refused  = 3
	failed   = 4
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// client has the options and streams of the command.
type client struct {
	interfaces               string
	only4, only6             bool
	timeout                  time.Duration
	offerOnly, once, release bool
	status                   bool
	asJSON, verbose, force   bool
	stdin                    io.Reader
	stdout, stderr           io.Writer

	// Options of init. The others are valid only with resume.
	resume        bool   // continue with the leases on standard input
	hostname      string // the host name, if the hosts file is to be updated
	hostsLine     string // the line of the host name in the hosts file, if it has one
	leaseHostname bool   // set the host name to that of a lease
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := client{stdin: stdin, stdout: stdout, stderr: stderr}
	err := c.parse(args[min(1, len(args)):])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		c.warn(err)
		return misused
	}
	if c.status {
		return c.printStatus(network.StatusFile)
	}
	if !c.offerOnly && !c.force {
		if err := guard.Check(); err != nil {
			c.warn(err)
			return failed
		}
	}
	switch {
	case c.release:
		return c.releaseAll()
	case c.resume:
		return c.takeOver()
	}
	return c.acquire()
}

// parse sets the options. Its error may be flag.ErrHelp.
func (c *client) parse(args []string) error {
	flags := flag.NewFlagSet("dhcpclient", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.interfaces, "i", "eth0", "")
	flags.BoolVar(&c.only4, "4", false, "")
	flags.BoolVar(&c.only6, "6", false, "")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "")
	flags.BoolVar(&c.offerOnly, "n", false, "")
	flags.BoolVar(&c.once, "once", false, "")
	flags.BoolVar(&c.release, "release", false, "")
	flags.BoolVar(&c.status, "status", false, "")
	flags.BoolVar(&c.asJSON, "json", false, "")
	flags.BoolVar(&c.verbose, "v", false, "")
	flags.BoolVar(&c.force, "force", false, "")
	flags.BoolVar(&c.resume, "resume", false, "")
	flags.StringVar(&c.hostname, "hostname", "", "")
	flags.StringVar(&c.hostsLine, "hosts-line", "", "")
	flags.BoolVar(&c.leaseHostname, "lease-hostname", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case c.status && flags.NFlag() > 1 && !(c.asJSON && flags.NFlag() == 2):
		return errors.New("-status takes no option but -json")
	case c.timeout < 0:
		return fmt.Errorf("-timeout: %v is negative", c.timeout)
	case c.offerOnly && c.once, c.offerOnly && c.release, c.once && c.release:
		return errors.New("-n, -once and -release exclude each other")
	case c.release && c.only6:
		return errors.New("-release is for IPv4")
	case c.release && c.interfaces == "all":
		return errors.New("-release needs the names of interfaces")
	}
	return nil
}

func (c *client) warn(err error) { fmt.Fprintln(c.stderr, "dhcpclient:", boot.Line(err)) }

func (c *client) warnf(format string, args ...any) { c.warn(fmt.Errorf(format, args...)) }

// config returns the configuration of the Network.
func (c *client) config() network.Config {
	cfg := network.Config{
		IPv4:      !c.only6 || c.only4,
		IPv6:      !c.only4 || c.only6,
		OfferOnly: c.offerOnly,
		Warn:      c.warn,
	}
	if c.resume {
		cfg.StatusFile = network.StatusFile
	}
	if c.interfaces != "all" {
		cfg.Interfaces = strings.Split(c.interfaces, ",")
	}
	if c.verbose {
		cfg.Trace = func(line string) { fmt.Fprintln(c.stderr, line) }
	}
	return cfg
}

// acquire gets leases, prints them and, without -n and -once, renews them. It returns the exit
// code.
func (c *client) acquire() int {
	n := network.New(c.config())
	l := loop.Loop{Tasks: []loop.Task{n}, Warn: c.warn}
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
	if c.offerOnly || c.once || !slices.ContainsFunc(all, configured) {
		return code
	}
	n.ConfirmAfterSleep()
	return c.keep(&l)
}

// takeOver renews the leases of another process, which has written their description to standard
// input. It returns the exit code.
func (c *client) takeOver() int {
	// The process was executed from a descriptor, so its name is the number of the descriptor.
	_ = os.WriteFile("/proc/self/comm", []byte("dhcpclient"), 0)
	cfg := c.config()
	hosts := system.Hosts{Hostname: c.hostname,
		State: &system.HostsState{Mounted: c.hostsLine != "", Line: c.hostsLine}}
	updateHosts := func() {
		if c.hostname != "" {
			_ = hosts.Do() // silent, as in init
		}
	}
	cfg.OnAddress = updateHosts
	if c.leaseHostname {
		cfg.OnHostname = func(name string) {
			hosts.Hostname = name
			if err := (system.Hostname{Name: name}).Do(); err != nil {
				c.warn(err)
			}
			updateHosts()
		}
	}
	n := network.New(cfg)
	hosts.Address = n.Address
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
	n.ConfirmAfterSleep()
	return c.keep(&loop.Loop{Tasks: []loop.Task{n}, Warn: c.warn})
}

// keep renews leases until a signal arrives. It returns the exit code.
func (c *client) keep(l *loop.Loop) int {
	signals, err := loop.NotifySignals(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err != nil {
		c.warn(err)
		return failed
	}
	for len(l.Tasks) > 0 {
		if ready, err := l.Step(signals.FD(), loop.Forever); ready || err != nil {
			return 0
		}
	}
	return failed // the network panicked
}

// configured reports whether an interface has a lease that was applied, or an IPv6 router.
func configured(s network.Status) bool {
	return !s.Failed && (s.Lease != nil || s.Lease6 != nil || len(s.Routers) > 0)
}

// report prints the state of the interfaces, and returns the exit code.
func (c *client) report(all []network.Status) int {
	code := 0
	for _, s := range all {
		switch {
		case s.Failed:
			code = max(code, failed)
		case configured(s):
		case s.Refused:
			c.warnf("%s: the server refused a lease", s.Name)
			code = max(code, refused)
		case !s.Carrier:
			c.warnf("%s is missing or not connected: %w", s.Name, unix.ENETDOWN)
			code = max(code, failed)
		default:
			c.warnf("%s: no answer within %v", s.Name, c.timeout)
			code = max(code, noAnswer)
		}
	}
	if err := c.write(fieldsOf(all)); err != nil {
		c.warn(err)
		return failed
	}
	return code
}

func (c *client) write(all []network.Fields) error {
	if c.asJSON {
		return writeJSON(c.stdout, all)
	}
	return writeText(c.stdout, all)
}

// printStatus prints the status in the given file. It returns the exit code.
func (c *client) printStatus(file string) int {
	all, err := network.ReadStatus(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("init keeps no leases here: that needs KRUN_DHCP, and krunbox as process 1; " +
			"dhcpclient -n asks for an offer")
	}
	if err == nil {
		err = c.write(dated(all, loop.Now(), time.Now(), !c.asJSON))
	}
	if err != nil {
		c.warn(err)
		return failed
	}
	return 0
}

// releaseAll releases the lease of each interface. It returns the exit code.
func (c *client) releaseAll() int {
	code := 0
	for name := range strings.SplitSeq(c.interfaces, ",") {
		cfg := c.config()
		cfg.Interfaces, cfg.IPv4, cfg.IPv6 = []string{name}, true, false
		released, err := network.Release(cfg, c.timeout)
		if err == nil {
			err = c.printReleased(name, released)
		}
		if err != nil {
			c.warn(err)
		}
		switch {
		case errors.Is(err, network.ErrNoAnswer):
			code = max(code, noAnswer)
		case err != nil:
			code = failed
		}
	}
	return code
}
