package kmodule

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/op"
)

// maxListSize is the maximum size of a list in bytes.
const maxListSize = 256 << 10

// ReadList reads the list at path, of at most 256 KiB. A missing list is empty.
func ReadList(path string) ([]Module, error) {
	list, err := imagefile.Read(path, maxListSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return Parse(string(list)), err
}

// Load loads modules in their order, finit_module(2). It needs CAP_SYS_MODULE. A module that is
// loaded already is no error. After a module that cannot be loaded, Do goes on with the next one,
// and returns all errors joined. It stops if the kernel loads no modules at all (EPERM, ENOSYS).
type Load []Module

func (l Load) Describe() op.Description {
	list := make([]string, len(l))
	for i, m := range l {
		list[i] = m.String()
	}
	return op.Describe("load", "modules", "list", list)
}

func (l Load) Do() error {
	var errs []error
	for _, m := range l {
		err := m.load()
		if err == unix.EPERM || err == unix.ENOSYS { // every other module would fail too
			return fmt.Errorf("load modules: the kernel takes none "+
				"(is there nomodule on its command line?): %w", err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("load %s: %w", m.Path, err))
		}
	}
	return errors.Join(errs...)
}

func (m Module) load() error {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := unix.Open(m.Path, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.FinitModule(fd, m.Params, 0)
	if err == unix.EEXIST {
		return nil
	}
	return err
}
