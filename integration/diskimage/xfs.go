package diskimage

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// createXFS creates a file system from a prototype, a description of its files; see mkfs.xfs(8).
func createXFS(path string, fs FileSystem) error {
	proto := &strings.Builder{}
	proto.WriteString("/dev/null\n0 0\n") // no boot block; two unused numbers
	sticky, err := describe(proto, "", fs.Dir)
	if err != nil {
		return err
	}
	file := path + ".proto"
	if err := os.WriteFile(file, []byte(proto.String()), 0o644); err != nil {
		return err
	}
	defer os.Remove(file)
	// --unsupported allows file systems of less than 300 MB.
	options := args{"--unsupported", "-q", "-f", "-p", file}.with("-L", fs.Label)
	if fs.UUID != "" {
		options = options.with("-m", "uuid="+fs.UUID)
	}
	if _, err := run("mkfs.xfs", options, path); err != nil {
		return err
	}
	if len(sticky) == 0 {
		return nil
	}
	// The prototype format has no sticky bit.
	options = args{"-x"}
	for _, dir := range sticky {
		info, err := os.Stat(filepath.Join(fs.Dir, dir))
		if err != nil {
			return err
		}
		mode := syscall.S_IFDIR | syscall.S_ISVTX | info.Mode().Perm()
		options = append(options, "-c", "path "+dir, "-c", fmt.Sprintf("write -d core.mode 0%o", mode))
	}
	_, err = run("xfs_db", options, path)
	return err
}

// describe writes the prototype of the host's file or directory path, with its contents, to proto.
// name is its name in the image. describe returns the directories that have the sticky bit, as
// paths relative to path. It fails for names with blanks and for special files.
func describe(proto *strings.Builder, name, path string) (sticky []string, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	if strings.ContainsAny(path, " \t\n") {
		return nil, fmt.Errorf("%q: names with blanks are not supported in an xfs image", path)
	}
	mark := func(set iofs.FileMode, letter string) string {
		if info.Mode()&set != 0 {
			return letter
		}
		return "-"
	}
	entry := func(kind, what string) {
		fmt.Fprintf(proto, "%s %s%s%s%03o %d %d %s\n",
			name, kind, mark(iofs.ModeSetuid, "u"), mark(iofs.ModeSetgid, "g"),
			info.Mode().Perm(), stat.Uid, stat.Gid, what)
	}
	switch info.Mode().Type() {
	case 0:
		entry("-", path)
	case iofs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		entry("l", target)
	case iofs.ModeDir:
		entry("d", "")
		if info.Mode()&iofs.ModeSticky != 0 {
			sticky = append(sticky, "/")
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			below, err := describe(proto, e.Name(), filepath.Join(path, e.Name()))
			if err != nil {
				return nil, err
			}
			for _, dir := range below {
				sticky = append(sticky, filepath.Join("/", e.Name(), dir))
			}
		}
		proto.WriteString("$\n")
	default:
		return nil, fmt.Errorf("%s: files of type %v are not supported in an xfs image",
			path, info.Mode())
	}
	return sticky, nil
}

// readXFS returns the contents of the file name in the xfs image path. Holes are read as zeroes.
func readXFS(path, name string) ([]byte, error) {
	text, err := run("xfs_db", args{"-r", "-c", "sb 0", "-c", "p blocksize agblocks",
		"-c", "path " + name, "-c", "p core.size", "-c", "bmap"}, path)
	if err != nil {
		return nil, err
	}
	blockSize, err1 := number(text, "blocksize =")
	groupBlocks, err2 := number(text, "agblocks =")
	size, err3 := number(text, "core.size =")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	image, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	data := make([]byte, size)
	for line := range strings.Lines(text) {
		var offset, block, group, groupBlock, count int64
		n, _ := fmt.Sscanf(line, "data offset %d startblock %d (%d/%d) count %d",
			&offset, &block, &group, &groupBlock, &count)
		if n != 5 {
			continue
		}
		start := min(offset*blockSize, size) // blocks may be allocated beyond the end of the file
		end := min(start+count*blockSize, size)
		if _, err := image.ReadAt(data[start:end], (group*groupBlocks+groupBlock)*blockSize); err != nil {
			return nil, err
		}
	}
	return data, nil
}
