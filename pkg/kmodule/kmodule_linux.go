package kmodule

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Plan returns the operation that loads the modules of the list in the file at path. No such file is fine, and costs a look-up.
func Plan(path string) ([]op.Op, error) {
	list, err := sysfile.Read(path, MaxSize)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []op.Op{Load(Parse(string(list)))}, nil
}

// Load loads modules in their order, finit_module(2). It needs CAP_SYS_MODULE. A module that is loaded already is fine, and one
// that can't be does not stop those after it.
type Load []Module

func (l Load) Describe() op.Description {
	list := make([]string, len(l))
	for i, m := range l {
		list[i] = strings.TrimSuffix(m.Path+" "+m.Params, " ")
	}
	return op.Describe("load", "modules", "list", list)
}

func (l Load) Do() error {
	var errs []error
	for _, m := range l {
		err := m.load()
		if err == unix.EPERM || err == unix.ENOSYS {
			// It will be the same for all of them.
			if err != nil {
				return fmt.Errorf("load modules: the kernel takes none (is there nomodule on its command line?): %w", err)
			}
			return nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("load %s: %w", m.Path, err))
		}
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
