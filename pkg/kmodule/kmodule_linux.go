package kmodule

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Plan returns the operation that loads the modules of the list in the file at path. No such file is fine, and costs a look-up.
func Plan(path string) ([]boot.Op, error) {
	list, err := sysfile.Read(path, MaxSize)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []boot.Op{Load(Parse(string(list)))}, nil
}

// Load loads modules in their order, finit_module(2). It needs CAP_SYS_MODULE. A module that is loaded already is fine, and one
// that can't be does not stop those after it.
type Load []Module

// Describe implements boot.Op.
func (l Load) Describe() boot.Desc {
	list := make([]string, len(l))
	for i, m := range l {
		list[i] = strings.TrimSuffix(m.Path+" "+m.Params, " ")
	}
	return boot.Desc{Verb: "load", Object: "modules", Attrs: []boot.Attr{boot.L("list", list)}}
}

// Do implements boot.Op.
func (l Load) Do() error {
	var errs []error
	for _, m := range l {
		err := m.load()
		if err == unix.EPERM || err == unix.ENOSYS {
			// It will be the same for all of them.
			return fault.Wrap(err, "load modules: the kernel takes none (is there nomodule on its command line?)")
		}
		errs = append(errs, fault.Wrap(err, "load ", m.Path))
	}
	return errors.Join(errs...)
}

func (m Module) load() error {
	fd, err := unix.Open(m.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.FinitModule(fd, m.Params, 0); err != unix.EEXIST {
		return err
	}
	return nil
}
