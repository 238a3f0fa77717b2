package imagearchive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// files are the files of an archive or of a layout directory.
type files interface {
	// open opens a file for reading. The error for one that does not exist is fs.ErrNotExist.
	open(name string) (io.ReadCloser, error)
	close() error
}

// maxJSON is the maximum size of an index, a manifest or a configuration in bytes.
const maxJSON = 8 << 20

// readJSON returns the contents of a small file.
func readJSON(f files, name string) ([]byte, error) {
	r, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err == nil && len(b) > maxJSON {
		err = fmt.Errorf("%s: larger than %d MiB", name, maxJSON>>20)
	}
	return b, err
}

// directory is an OCI layout directory. Links cannot lead out of it.
type directory struct{ *os.Root }

func (d directory) open(name string) (io.ReadCloser, error) { return d.Open(name) }
func (d directory) close() error                            { return d.Close() }

// archive is a tar file without compression.
type archive struct {
	*os.File
	members map[string]member
}

// member is the place of a file's contents in the archive, in bytes.
type member struct{ offset, size int64 }

func (a *archive) close() error { return a.Close() }

func (a *archive) open(name string) (io.ReadCloser, error) {
	m, ok := a.members[path.Clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(a.File, m.offset, m.size)), nil
}

// errNotArchive is the error of a file that is no tar file.
var errNotArchive = errors.New("not a tar archive")

// openFiles opens an archive or a layout directory.
func openFiles(name string) (files, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		return directory{root}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if f, err = decompressed(f); err != nil {
		return nil, err
	}
	a := &archive{File: f, members: map[string]member{}}
	if err := a.scan(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// errIncomplete is the error of an archive whose end is missing.
var errIncomplete = errors.New("the archive is damaged or incomplete: copy or save it again")

// blockSize is the size of a block of a tar file. Blocks of zeros end the file.
const blockSize = 512

// scan finds the members. It reads the headers only.
func (a *archive) scan() error {
	r := tar.NewReader(a.File)
	for end := int64(0); ; {
		header, err := r.Next()
		switch {
		case err == io.EOF && len(a.members) > 0:
			info, err := a.Stat()
			if err == nil && info.Size() < end+blockSize {
				err = errIncomplete
			}
			return err
		case err != nil && len(a.members) == 0:
			return errNotArchive
		case err != nil:
			return errIncomplete
		}
		offset, err := a.Seek(0, io.SeekCurrent) // archive/tar does not read ahead
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg {
			a.members[path.Clean(header.Name)] = member{offset, header.Size}
			offset += header.Size
		}
		end = offset
	}
}

// decompressed returns f or, if it is compressed by gzip or zstd, a temporary file without a name
// that has the data.
func decompressed(f *os.File) (*os.File, error) {
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	var r io.Reader
	buffered := bufio.NewReader(f)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(buffered)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(buffered); err == nil {
			defer decoder.Close()
			r = decoder
		}
	default:
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp("", "krunhost-image-")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(tmp, r)
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err = errors.Join(err, os.Remove(tmp.Name())); err != nil {
		tmp.Close()
		return nil, fmt.Errorf("decompress %s: %w", filepath.Base(f.Name()), err)
	}
	return tmp, nil
}
