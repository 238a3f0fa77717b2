package guestconfig

import (
	"slices"
	"strconv"
	"strings"

	"github.com/krunbox/krunbox/pkg/rlimit"
)

// parser collects the fields of a configuration file as the reader meets them.
type parser struct {
	reader
	Config                  // the fields of which there is only one
	flat, process           command
	hostname, imageHostname string
	username                string                 // of process.user
	unsupported             [len(unsupported)]bool // by place in unsupported
}

// command are the fields that may be both at top level and in process.
type command struct {
	args, cmd, entrypoint     []string
	env, imageEnv             []string
	cwd, imageCwd, workingDir string
	user, stopSignal          string
}

// topLevel reads a field of the outermost object.
func (p *parser) topLevel(name []byte) (known bool, err error) {
	switch string(name) {
	case "process":
		err = p.object(p.processField)
	case "hostname":
		p.hostname, err = p.cstring()
	case "Hostname":
		p.imageHostname, err = p.cstring()
	case "domainname":
		p.Domainname, err = p.cstring()
	case "mounts":
		p.Mounts = nil
		err = p.array(p.mount)
	case "root":
		err = p.object(p.rootField)
	case "linux":
		err = p.object(p.linuxField)
	default:
		return p.commandField(&p.flat, name)
	}
	return true, err
}

// commandField reads a field of c.
func (p *parser) commandField(c *command, name []byte) (known bool, err error) {
	switch string(name) {
	case "args":
		c.args, err = p.cstrings()
	case "Cmd":
		c.cmd, err = p.cstrings()
	case "Entrypoint":
		c.entrypoint, err = p.cstrings()
	case "env":
		c.env, err = p.cstrings()
	case "Env":
		c.imageEnv, err = p.cstrings()
	case "cwd":
		c.cwd, err = p.cstring()
	case "Cwd":
		c.imageCwd, err = p.cstring()
	case "WorkingDir":
		c.workingDir, err = p.cstring()
	case "User":
		c.user, err = p.cstring()
	case "StopSignal":
		c.stopSignal, err = p.cstring()
	default:
		return false, nil
	}
	return true, err
}

// processField reads a field of process.
func (p *parser) processField(name []byte) (known bool, err error) {
	switch string(name) {
	case "user":
		p.User = orNew(p.User)
		err = p.object(p.userField)
	case "rlimits":
		p.Rlimits = nil
		err = p.array(p.rlimit)
	case "capabilities":
		p.Capabilities = orNew(p.Capabilities)
		err = p.object(p.capabilitiesField)
	case "noNewPrivileges":
		p.NoNewPrivileges, err = p.bool()
	case "oomScoreAdj":
		var score int64
		score, err = p.int(-1000, 1000)
		p.OOMScoreAdj = new(int(score))
	case "scheduler":
		err = p.scheduler()
	case "ioPriority":
		err = p.ioPriority()
	case "execCPUAffinity":
		err = p.object(p.affinityField)
	case "terminal":
		p.Terminal, err = p.bool()
	case "consoleSize":
		err = p.object(p.sizeField)
	default:
		if known, err = p.commandField(&p.process, name); !known {
			known, err = p.unsupportedField("process", name)
		}
		return known, err
	}
	return true, err
}

// userField reads a field of process.user.
func (p *parser) userField(name []byte) (known bool, err error) {
	switch string(name) {
	case "uid":
		p.User.UID, err = p.id()
	case "gid":
		p.User.GID, err = p.id()
	case "additionalGids":
		p.User.AdditionalGIDs = nil
		err = p.array(func() error {
			gid, err := p.id()
			p.User.AdditionalGIDs = append(p.User.AdditionalGIDs, gid)
			return err
		})
	case "umask":
		p.User.Umask, err = pointer(p.uint32(1<<32 - 1))
	case "username":
		p.username, err = p.cstring()
	default:
		return false, nil
	}
	return true, err
}

// rlimit reads an element of process.rlimits.
func (p *parser) rlimit() error {
	start := p.pos
	var limit rlimit.Limit
	name := ""
	err := p.object(func(field []byte) (known bool, err error) {
		switch string(field) {
		case "type":
			name, err = p.cstring()
		case "soft":
			limit.Soft, err = p.uint(rlimit.Infinity)
		case "hard":
			limit.Hard, err = p.uint(rlimit.Infinity)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	resource, ok := rlimit.Resource(name)
	if !ok {
		return p.errorAt(start, "unknown resource "+strconv.Quote(clip(name)))
	}
	limit.Resource = resource
	if slices.ContainsFunc(p.Rlimits, func(l rlimit.Limit) bool { return l.Resource == resource }) {
		return p.errorAt(start, name+" is limited twice")
	}
	if err := limit.Validate(); err != nil {
		return p.errorAt(start, name+": "+err.Error())
	}
	p.Rlimits = append(p.Rlimits, limit)
	return nil
}

// mount reads an element of mounts.
func (p *parser) mount() error {
	var m Mount
	err := p.object(func(name []byte) (known bool, err error) {
		switch string(name) {
		case "destination":
			m.Destination, err = p.cstring()
		case "type":
			m.Type, err = p.cstring()
		case "source":
			m.Source, err = p.cstring()
		case "options":
			m.Options, err = p.cstrings()
		default:
			return p.unsupportedField("mounts", name)
		}
		return true, err
	})
	p.Mounts = append(p.Mounts, m)
	return err
}

// id reads the number of a user or group. The largest one means "leave it as it
// is" to setresuid(2) and its like, and is nobody's.
func (p *parser) id() (uint32, error) { return p.uint32(1<<32 - 2) }

// cstring reads a string that can be passed to the kernel, where NUL ends it.
func (p *parser) cstring() (string, error) {
	start := p.pos
	s, err := p.string()
	if err == nil && hasNUL(s) {
		err = p.errorAt(start, "contains a NUL byte")
	}
	return s, err
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// cstrings reads a list of such strings.
func (p *parser) cstrings() ([]string, error) {
	var list []string
	err := p.array(func() error {
		s, err := p.cstring()
		if list == nil {
			list = make([]string, 0, 16) // most lists need no more: a list that grows leaves memory behind
		}
		list = append(list, s)
		return err
	})
	return list, err
}
