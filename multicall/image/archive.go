package image

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/mkuimage/cpio"
	"golang.org/x/sys/unix"
)

// A writer writes an image to opts.Output.
type writer func(ctx context.Context, t tree, opts *Options) error

// writerFor returns the writer for the kind of image that the name output has, see Options.Output.
func writerFor(output string) (writer, error) {
	if strings.HasSuffix(output, "/") {
		return writeDir, nil
	}
	name, compress := output, uncompressed
	for suffix, with := range map[string]compressor{".gz": gzipped, ".zst": zstandard} {
		if base, ok := strings.CutSuffix(output, suffix); ok {
			name, compress = base, with
		}
	}
	for suffix, archive := range map[string]archiver{".cpio": writeCPIO, ".tar": writeTar} {
		if strings.HasSuffix(name, suffix) {
			return func(_ context.Context, t tree, opts *Options) error {
				write := func(w io.Writer) error { return archive(w, t, opts) }
				return create(output, func(w io.Writer) error { return compress(w, write) })
			}, nil
		}
	}
	if strings.HasSuffix(output, ".ext4") {
		return writeExt4, nil
	}
	return nil, errors.New("unknown kind of image: want a name that ends in .cpio or .tar, " +
		".cpio.gz, .cpio.zst, .tar.gz, .tar.zst, .ext4, or a slash")
}

// A compressor compresses the output of write to w.
type compressor func(w io.Writer, write func(io.Writer) error) error

func uncompressed(w io.Writer, write func(io.Writer) error) error { return write(w) }

func gzipped(w io.Writer, write func(io.Writer) error) error {
	gz, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	return finish(gz, err, write)
}

func zstandard(w io.Writer, write func(io.Writer) error) error {
	z, err := zstd.NewWriter(w,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1), // the output depends on the number of threads
		zstd.WithWindowSize(8<<20))     // the largest that the kernel decompresses
	return finish(z, err, write)
}

// finish calls write with the compressor w, unless making w failed with err, and closes w.
func finish(w io.WriteCloser, err error, write func(io.Writer) error) error {
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return err
	}
	return w.Close()
}

// An archiver writes an archive of t to w.
type archiver func(w io.Writer, t tree, opts *Options) error

func writeCPIO(w io.Writer, t tree, opts *Options) error {
	archive := cpio.Newc.Writer(w)
	for i, name := range t.paths() {
		n := t[name]
		data, err := n.contents()
		if err != nil {
			return err
		}
		info := cpio.Info{
			Name:  name,
			Ino:   uint64(i + 1),
			Mode:  uint64(n.sysMode()),
			NLink: 1,
			MTime: uint64(opts.Time.Unix()),
		}
		switch n.mode.Type() {
		case fs.ModeDir:
			info.NLink = 2
		case fs.ModeSymlink:
			data = []byte(n.target)
		}
		if n.isDevice() {
			info.Rmajor, info.Rminor = uint64(unix.Major(n.rdev)), uint64(unix.Minor(n.rdev))
		}
		record := cpio.StaticRecord(data, info)
		if err := archive.WriteRecord(record); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	return cpio.WriteTrailer(archive)
}

func writeTar(w io.Writer, t tree, opts *Options) error {
	archive := tar.NewWriter(w)
	for _, name := range t.paths() {
		n := t[name]
		data, err := n.contents()
		if err != nil {
			return err
		}
		header := &tar.Header{
			Name:     "./" + strings.TrimPrefix(name, "."),
			Typeflag: tar.TypeReg,
			Mode:     int64(n.sysMode() & 0o7777),
			Size:     int64(len(data)),
			Linkname: n.target,
			ModTime:  opts.Time,
			Uname:    "root",
			Gname:    "root",
		}
		switch n.mode.Type() {
		case fs.ModeDir:
			header.Typeflag = tar.TypeDir
			header.Name = strings.TrimSuffix(header.Name, "/") + "/"
		case fs.ModeSymlink:
			header.Typeflag = tar.TypeSymlink
		case fs.ModeNamedPipe:
			header.Typeflag = tar.TypeFifo
		case fs.ModeDevice:
			header.Typeflag = tar.TypeBlock
		case fs.ModeDevice | fs.ModeCharDevice:
			header.Typeflag = tar.TypeChar
		}
		if n.isDevice() {
			header.Devmajor, header.Devminor = int64(unix.Major(n.rdev)), int64(unix.Minor(n.rdev))
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
		if _, err := archive.Write(data); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	return archive.Close()
}
