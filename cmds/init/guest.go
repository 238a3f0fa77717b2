//go:build linux || freebsd

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rlimit"
	"github.com/krunbox/krunbox/pkg/signals"
	"github.com/krunbox/krunbox/pkg/supervise"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// catch takes over the signals that are for the workload, so that none is lost before there is one.
type catch struct{ pipe **signals.Pipe }

func (catch) Describe() op.Description {
	return op.Describe("catch", "signals for the workload")
}

func (c catch) Do() (err error) {
	*c.pipe, err = signals.Open(supervise.Handled()...)
	return err
}

// print shows the boot that the guest would have, as text or JSON.
func (g *guest) print(w io.Writer, asJSON bool) error {
	write := boot.WriteText[*guest]
	if asJSON {
		write = boot.WriteJSON[*guest]
	}
	up, down := order()
	return write(w, append(up, down...), g)
}

// complaints are what the host asks for by parameters and does not get.
func (g *guest) complaints() []error {
	var errs []error
	for _, name := range g.params.Unsupported {
		errs = append(errs, fmt.Errorf("%s: %w", name, op.ErrUnsupported))
	}
	for _, variable := range g.params.Malformed {
		errs = append(errs, fmt.Errorf("%s: %w", variable, errors.New("not a value that it can have")))
	}
	return errs
}

// configPath is the configuration's path in the guest, and file where it is read here.
func (g *guest) configPath() (path, file string) {
	path, file = g.params.Config, g.configFile
	if path == "" {
		path = defaultConfig
	}
	if file == "" {
		file = g.root + path
	}
	return path, file
}

// takeConfig parses the configuration that was read from a file, or was not. The default one may be missing; one that is named
// or there must be right.
func (g *guest) takeConfig(file string, data []byte, err error) error {
	if errors.Is(err, syscall.ENOENT) && g.params.Config == "" && g.configFile == "" {
		return nil
	}
	if err != nil {
		return err
	}
	g.config, err = guestconfig.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (g *guest) planWorkdir() ([]op.Op, error) {
	dir := g.config.Cwd
	if g.params.Workdir != "" {
		dir = g.params.Workdir
	}
	if dir == "" {
		return nil, nil // the kernel started init in /
	}
	return []op.Op{exec.Workdir{Path: dir}}, nil
}

// limits are the configuration's, and the host's parameters over them.
func (g *guest) limits() ([]rlimit.Limit, error) {
	given, err := rlimit.Parse(g.params.Rlimits)
	if err != nil {
		return nil, err
	}
	limits := slices.DeleteFunc(slices.Clone(g.config.Rlimits), func(l rlimit.Limit) bool {
		return slices.ContainsFunc(given, func(h rlimit.Limit) bool { return h.Resource == l.Resource })
	})
	return append(limits, given...), nil
}

// user is the identity of the workload, nil for root as it is. A name is looked up in the image.
func (g *guest) user() (*exec.User, error) {
	c := g.config.User
	if c == nil && g.config.Username == "" {
		return nil, nil
	}
	var u exec.User
	if c != nil {
		u = exec.User(*c)
	}
	if name := g.config.Username; name != "" {
		// What an image has not got has no users.
		passwd, _ := sysfile.Read(g.root+"/etc/passwd", 1<<20)
		group, _ := sysfile.Read(g.root+"/etc/group", 1<<20)
		found, err := exec.LookupUser(passwd, group, name)
		if err != nil {
			return nil, err
		}
		u.UID, u.GID = found.UID, found.GID
		u.AdditionalGIDs = append(found.AdditionalGIDs, u.AdditionalGIDs...)
	}
	return &u, nil
}

// finish makes the workload's environment of what the host gives: with what the configuration adds, and the host's last word on
// HOME and TERM.
func (g *guest) finish(env *exec.Env, user *exec.User) []string {
	env.Merge(g.config.Env)
	if g.params.Home != "" {
		env.Set("HOME", g.params.Home)
	}
	if g.params.Term != "" {
		env.Set("TERM", g.params.Term)
	}
	if _, given := env.Get("HOME"); !given {
		env.Set("HOME", g.home(user))
	}
	return env.List()
}

// home is the user's home directory in the image's passwd file, else /.
func (g *guest) home(user *exec.User) string {
	uid := "0"
	if user != nil {
		uid = strconv.FormatUint(uint64(user.UID), 10)
	}
	passwd, err := sysfile.Read(g.root+"/etc/passwd", 1<<20)
	if err != nil {
		return "/" // an image without users is a good image
	}
	if home := exec.HomeOf(string(passwd), uid); home != "" {
		return home
	}
	return "/"
}
