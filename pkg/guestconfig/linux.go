package guestconfig

// rootField reads a field of root.
func (p *parser) rootField(name []byte) (known bool, err error) {
	if string(name) != "readonly" {
		return false, nil
	}
	p.RootReadonly, err = p.bool()
	return true, err
}

// linuxField reads a field of linux.
func (p *parser) linuxField(name []byte) (known bool, err error) {
	switch string(name) {
	case "maskedPaths":
		p.MaskedPaths, err = p.cstrings()
	case "readonlyPaths":
		p.ReadonlyPaths, err = p.cstrings()
	case "rootfsPropagation":
		p.RootfsPropagation, err = word(p, "propagation", parsePropagation)
	case "namespaces":
		p.MountNamespace = false
		err = p.array(p.namespace)
	case "sysctl":
		err = p.object(p.sysctl)
	case "devices":
		p.Devices = nil
		err = p.array(p.device)
	default:
		return p.unsupportedField("linux", name)
	}
	return true, err
}

func parsePropagation(s string) (string, bool) {
	switch s {
	case "", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable":
		return s, true
	}
	return "", false
}

// namespace reads an element of linux.namespaces.
func (p *parser) namespace() error {
	return p.object(func(name []byte) (known bool, err error) {
		if string(name) != "type" {
			return false, nil
		}
		kind, err := p.string()
		if kind == "mount" {
			p.MountNamespace = true
		}
		return true, err
	})
}

// sysctl reads a member of linux.sysctl.
func (p *parser) sysctl(name []byte) (known bool, err error) {
	if err := p.count(); err != nil {
		return true, err
	}
	parameter := string(name)
	if hasNUL(parameter) {
		return true, p.errorAt(p.pos, "the name contains a NUL byte")
	}
	value, err := p.cstring()
	p.Sysctls = append(p.Sysctls, Sysctl{parameter, value})
	return true, err
}

// device reads an element of linux.devices.
func (p *parser) device() error {
	start := p.pos
	var d Device
	err := p.object(func(name []byte) (known bool, err error) {
		switch string(name) {
		case "path":
			d.Path, err = p.cstring()
		case "type":
			d.Type, err = word(p, "type of device", func(s string) (byte, bool) {
				switch s {
				case "c", "u", "b", "p":
					return s[0], true
				}
				return 0, false
			})
		case "major":
			d.Major, err = p.uint32(1<<12 - 1) // MAJOR and MINOR of Linux
		case "minor":
			d.Minor, err = p.uint32(1<<20 - 1)
		case "fileMode":
			d.FileMode, err = pointer(p.uint32(1<<32 - 1))
		case "uid":
			d.UID, err = pointer(p.id())
		case "gid":
			d.GID, err = pointer(p.id())
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil && (d.Path == "" || d.Type == 0) {
		err = p.errorAt(start, "a device without path or type")
	}
	p.Devices = append(p.Devices, d)
	return err
}
