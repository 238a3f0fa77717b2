package guestconfig

import (
	"strconv"

	"github.com/krunbox/krunbox/pkg/oci"
)

// capabilitiesField reads a field of process.capabilities.
func (p *parser) capabilitiesField(name []byte) (known bool, err error) {
	var set *oci.CapabilitySet
	switch string(name) {
	case "bounding":
		set = &p.Capabilities.Bounding
	case "effective":
		set = &p.Capabilities.Effective
	case "inheritable":
		set = &p.Capabilities.Inheritable
	case "permitted":
		set = &p.Capabilities.Permitted
	case "ambient":
		set = &p.Capabilities.Ambient
	default:
		return false, nil
	}
	*set = 0
	field := "process.capabilities." + string(name)
	return true, p.array(func() error {
		s, err := p.cstring()
		capability, ok := oci.ParseCapability(s)
		if !ok {
			p.unknown(field, s)
			return err
		}
		*set |= capability
		return err
	})
}

// scheduler reads process.scheduler.
func (p *parser) scheduler() error {
	start := p.pos
	s := orNew(p.Scheduler)
	named := p.Scheduler != nil
	p.Scheduler = s
	err := p.object(func(name []byte) (known bool, err error) {
		switch string(name) {
		case "policy":
			named = true
			s.Policy, err = word(p, "policy", oci.ParsePolicy)
		case "nice":
			s.Nice, err = p.int32()
		case "priority":
			s.Priority, err = p.int32()
		case "flags":
			s.Flags = 0
			err = p.array(func() error {
				flag, err := word(p, "flag", oci.ParseSchedulerFlag)
				s.Flags |= flag
				return err
			})
		case "runtime":
			s.Runtime, err = p.uint(1<<64 - 1)
		case "deadline":
			s.Deadline, err = p.uint(1<<64 - 1)
		case "period":
			s.Period, err = p.uint(1<<64 - 1)
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil && !named {
		err = p.errorAt(start, "no policy")
	}
	return err
}

// ioPriority reads process.ioPriority.
func (p *parser) ioPriority() error {
	start := p.pos
	p.IOPriority = orNew(p.IOPriority)
	err := p.object(func(name []byte) (known bool, err error) {
		switch string(name) {
		case "class":
			p.IOPriority.Class, err = word(p, "class", oci.ParseIOClass)
		case "priority":
			p.IOPriority.Priority, err = p.uint32(7)
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil && p.IOPriority.Class == 0 {
		err = p.errorAt(start, "no class")
	}
	return err
}

// affinityField reads a field of process.execCPUAffinity. The initial CPUs are those of a runtime before it puts the process
// into its cgroup; here it is there from the start.
func (p *parser) affinityField(name []byte) (known bool, err error) {
	switch string(name) {
	case "initial":
		_, err = word(p, "list of CPUs", oci.ParseCPUs)
	case "final":
		p.CPUs, err = word(p, "list of CPUs", oci.ParseCPUs)
	default:
		return false, nil
	}
	return true, err
}

// sizeField reads a field of process.consoleSize. What a terminal can't have, struct winsize of ioctl_tty(2), is an error.
func (p *parser) sizeField(name []byte) (known bool, err error) {
	var n uint32
	switch string(name) {
	case "height":
		n, err = p.uint32(1<<16 - 1)
		p.ConsoleSize.Height = uint16(n)
	case "width":
		n, err = p.uint32(1<<16 - 1)
		p.ConsoleSize.Width = uint16(n)
	default:
		return false, nil
	}
	return true, err
}

// stopSignal is the number of a signal, 0 if it is none.
func (p *parser) stopSignal(s string) int {
	number, ok := oci.ParseSignal(s)
	if !ok {
		if s != "" {
			p.unknown("StopSignal", s)
		}
		return 0
	}
	return number
}

// word reads a string that parse understands, called what in errors.
func word[T any](p *parser, what string, parse func(string) (T, bool)) (T, error) {
	start := p.pos
	s, err := p.cstring()
	if err != nil {
		var none T
		return none, err
	}
	value, ok := parse(s)
	if !ok {
		err = p.errorAt(start, "unknown "+what+" "+strconv.Quote(clip(s)))
	}
	return value, err
}

// orNew returns p, or a new zero value where p is nil: an object given twice has the fields of both.
func orNew[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}

// pointer returns a pointer to a value that was read.
func pointer[T any](value T, err error) (*T, error) { return &value, err }
