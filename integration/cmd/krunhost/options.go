package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

// options has the options and the command of the command line.
type options struct {
	root    string
	image   string
	files   []file
	env     []string
	config  string
	init    string
	arch    string
	ports   []port
	net     bool
	publish []forward
	disks   []vm.Disk
	shares  []vm.Share
	memMiB  int
	cpus    int
	timeout time.Duration
	chart   string // file for the chart of the boot, - for standard output; empty: none
	verbose bool
	manual  bool // print the manual, and nothing else

	showDebug bool // show what KRUN_DEBUG=1 makes init print
	command   []string
}

// file is an option --file.
type file struct {
	name, path string
	oneShot    bool
}

// parseOptions parses the command line args, which does not include the name of the program. It
// returns flag.ErrHelp if args contains --help.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("krunhost", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run reports the error
	fs.StringVar(&o.root, "root", "", "")
	fs.StringVar(&o.image, "image", "", "")
	fs.Func("file", "", func(s string) error {
		f, err := parseFile(s)
		o.files = append(o.files, f)
		return err
	})
	fs.Func("env", "", func(s string) error {
		if strings.Index(s, "=") < 1 {
			return errors.New("want K=V")
		}
		o.env = append(o.env, s)
		return nil
	})
	fs.StringVar(&o.config, "config", "", "")
	fs.StringVar(&o.init, "init", "", "")
	fs.StringVar(&o.arch, "arch", runtime.GOARCH, "")
	fs.Func("port", "", func(s string) error {
		name, path, _ := strings.Cut(s, "=")
		if name == "" {
			return errors.New("want NAME or NAME=FILE")
		}
		o.ports = append(o.ports, port{name, path})
		return nil
	})
	fs.BoolVar(&o.net, "net", false, "")
	fs.Func("publish", "", func(s string) error {
		f, err := parseForward(s)
		o.publish = append(o.publish, f)
		return err
	})
	fs.Func("disk", "", func(s string) error {
		path, readOnly := strings.CutSuffix(s, ":ro")
		if path == "" {
			return errors.New("want FILE or FILE:ro")
		}
		o.disks = append(o.disks, vm.Disk{Path: path, ReadOnly: readOnly})
		return nil
	})
	fs.Func("share", "", func(s string) error {
		tag, dir, _ := strings.Cut(s, "=")
		if tag == "" || dir == "" {
			return errors.New("want TAG=DIR")
		}
		o.shares = append(o.shares, vm.Share{Tag: tag, Dir: dir})
		return nil
	})
	fs.IntVar(&o.memMiB, "mem", 512, "")
	fs.IntVar(&o.cpus, "cpus", 1, "")
	fs.DurationVar(&o.timeout, "timeout", 0, "")
	fs.StringVar(&o.chart, "boot-chart", "", "")
	fs.BoolVar(&o.verbose, "v", false, "")
	fs.BoolVar(&o.manual, "manual", false, "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.command = fs.Args()
	if o.net = o.net || o.publish != nil; o.net {
		o.env = append([]string{"KRUN_DHCP=1"}, o.env...) // first, so that --env can override it
	}
	if o.memMiB <= 0 || o.cpus <= 0 {
		return nil, errors.New("--mem and --cpus: want a number above 0")
	}
	if err := o.checkDevices(); err != nil {
		return nil, err
	}
	if o.chart != "" {
		o.showDebug = slices.Contains(o.env, "KRUN_DEBUG=1")
		o.env = append(o.env, "KRUN_DEBUG=1")
	}
	if o.root != "" && o.image != "" {
		return nil, errors.New("--root and --image: want one of them")
	}
	return o, nil
}

// checkDevices checks that the machine has room for its devices.
func (o *options) checkDevices() error {
	n := len(o.disks) + len(o.shares)
	if o.net {
		n++
	}
	if o.arch == "amd64" && n > vm.MaxDevices {
		return fmt.Errorf("--disk, --share and --net: want at most %d of them together, have %d", vm.MaxDevices, n)
	}
	return nil
}

// parseFile parses the value of --file, NAME=PATH[:one-shot].
func parseFile(s string) (file, error) {
	name, path, found := strings.Cut(s, "=")
	if !found || !strings.HasPrefix(name, "/") || path == "" {
		return file{}, errors.New("want /NAME=PATH or /NAME=PATH:one-shot")
	}
	path, oneShot := strings.CutSuffix(path, ":one-shot")
	return file{name: name, path: path, oneShot: oneShot}, nil
}

// splitEnv splits env into the variables for init, which init reads from the kernel command line
// only, and those for the command.
func splitEnv(env []string) (init, command []string) {
	for _, entry := range env {
		if strings.HasPrefix(entry, "KRUN_") || strings.HasPrefix(entry, "HOSTNAME=") {
			init = append(init, entry)
		} else {
			command = append(command, entry)
		}
	}
	return init, command
}

// withDefaults returns env with the default PATH of container engines, unless env contains PATH.
func withDefaults(env []string) []string {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, entry := range env {
		if strings.HasPrefix(entry, "PATH=") {
			return env
		}
	}
	return append([]string{path}, env...)
}

// guestConfig returns the configuration for init, in the format of an OCI config.json. The bytes of
// strings that are not UTF-8 are preserved, in contrast to encoding/json.
func guestConfig(args, env []string) []byte {
	b := []byte(`{"process":{`)
	if len(args) > 0 {
		b = append(appendStrings(append(b, `"args":`...), args), ',')
	}
	b = append(appendStrings(append(b, `"env":`...), env), ',')
	return append(b, `"cwd":"/"}}`...)
}

// appendStrings appends list as a JSON array of strings.
func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
