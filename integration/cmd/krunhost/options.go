package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/krunbox/krunbox/integration/vm"
)

const help = `Usage: krunhost [OPTIONS] [--] [CMD ARG...]

Boots a virtual machine whose init program is krunbox, runs CMD there, and exits with its exit code. Without CMD, that
is a shell.

  --root DIR          root directory of the guest, such as an unpacked container image; the guest writes into it.
                      Without it: a new directory with busybox in it, removed afterwards
  --file NAME=PATH[:one-shot]
                      the guest sees the file PATH as NAME, an absolute path, read-only; a one-shot file can be
                      opened once
  --env K=V           environment variable. HOSTNAME, and names that begin with KRUN_, are for init itself
  --config FILE       configuration for init, such as an OCI config.json, in place of one generated from CMD and --env;
                      these go on the kernel command line then
  --init PATH         the init program; default: init.krun next to krunhost
  --arch ARCH         amd64 or arm64; default: this machine's
  --port NAME[=FILE]  adds a port NAME, /dev/vport* in the guest. What the guest writes there goes to FILE, or else
                      line by line, with NAME in front, to standard error
  --net               adds a network interface, eth0, that init configures by DHCP (KRUN_DHCP=1). It is QEMU's user
                      network: the guest reaches what krunhost could reach, nobody reaches the guest
  --disk FILE[:ro]    adds a disk, /dev/vda, the next one /dev/vdb: the raw image FILE, which the guest writes into
  --share TAG=DIR     adds a directory that the guest can mount: mount -t virtiofs TAG /mnt
  --mem MIB           memory; default: 512
  --cpus N            number of processors; default: 1
  --timeout DURATION  kill the machine after that time, such as 90s; default: never
  -v                  show the kernel's messages and QEMU's command line

With a terminal as standard input and output, the command runs on the guest's console, and Ctrl-] kills the machine.
Otherwise it has standard input, output and error of its own, byte for byte; what is printed on the console, as
messages of init, goes to standard error.

Exit code: that of CMD; 125 if the host failed; 128+N if signal N ended krunhost.

Examples:
  krunhost                                        # a shell
  krunhost -- sh -c 'exit 7'; echo $?             # 7
  tar c /etc | krunhost -- tar tv | less
  krunhost --net -- sh -c 'ip addr; cat /etc/resolv.conf'
  krunhost --disk root.ext4 --env KRUN_BLOCK_ROOT_DEVICE=/dev/vda -- cat /etc/os-release
  krunhost --root ./rootfs --cpus 2 --mem 1024 -- /usr/bin/env
  krunhost --root ./bundle/rootfs --config ./bundle/config.json
`

// options are what the command line says.
type options struct {
	root    string
	files   []file
	env     []string
	config  string
	init    string
	arch    string
	ports   []port
	net     bool
	disks   []vm.Disk
	shares  []vm.Share
	memMiB  int
	cpus    int
	timeout time.Duration
	verbose bool
	command []string
}

// file is a file of the host that the guest sees.
type file struct {
	name, path string
	oneShot    bool
}

// parseOptions parses the command line, without the command's name. The error is flag.ErrHelp if help was asked for.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("krunhost", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run reports the error
	fs.StringVar(&o.root, "root", "", "")
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
	fs.BoolVar(&o.verbose, "v", false, "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.command = fs.Args()
	if o.net {
		o.env = append([]string{"KRUN_DHCP=1"}, o.env...) // of two, the last one counts
	}
	if o.memMiB <= 0 || o.cpus <= 0 {
		return nil, errors.New("--mem and --cpus want a number above 0")
	}
	return o, nil
}

// parseFile parses NAME=PATH[:one-shot].
func parseFile(s string) (file, error) {
	name, path, found := strings.Cut(s, "=")
	if !found || !strings.HasPrefix(name, "/") || path == "" {
		return file{}, errors.New("want /NAME=PATH or /NAME=PATH:one-shot")
	}
	path, oneShot := strings.CutSuffix(path, ":one-shot")
	return file{name: name, path: path, oneShot: oneShot}, nil
}

// splitEnv separates the variables for init, which it finds on the kernel command line only, from the command's own.
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

// withDefaults adds the variables that container runtimes add.
func withDefaults(env []string) []string {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, entry := range env {
		if strings.HasPrefix(entry, "PATH=") {
			return env
		}
	}
	return append([]string{path}, env...)
}

// guestConfig returns a configuration file for init, as an OCI config.json has it. Strings are not required to be
// UTF-8: their bytes stay what they are, which encoding/json would not do.
func guestConfig(args, env []string) []byte {
	b := []byte(`{"process":{`)
	if len(args) > 0 {
		b = append(appendStrings(append(b, `"args":`...), args), ',')
	}
	b = append(appendStrings(append(b, `"env":`...), env), ',')
	return append(b, `"cwd":"/"}}`...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
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
		b = append(b, '"')
	}
	return append(b, ']')
}
