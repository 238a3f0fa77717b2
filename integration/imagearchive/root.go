package imagearchive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/umoci/oci/layer"

	"github.com/krunbox/krunbox/internal/cache"
	"github.com/krunbox/krunbox/internal/progress"
)

// Root returns the directory with the image's files. The first call for an image unpacks it into
// the cache, from which nothing is removed. The directory must not be changed: other machines may
// use it at the same time.
//
// If this process is root, files have their owners, and devices are made. Otherwise all files
// belong to the user of this process, and devices are empty files.
func (i *Image) Root(ctx context.Context) (string, error) {
	entry := "image-sha256-" + i.Digest
	if os.Geteuid() != 0 {
		entry += "-user"
	}
	return cache.File(ctx, entry, func(scratch string) (string, error) {
		step := progress.Start(ctx, "unpacking the image (once)")
		defer step.End()
		root := filepath.Join(scratch, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			return "", err
		}
		if err := os.Chmod(root, 0o755); err != nil { // independent of the umask
			return "", err
		}
		layers, err := i.image.Layers()
		if err != nil {
			return "", fmt.Errorf("layers of the image: %w", err)
		}
		if len(layers) != len(i.diffs) {
			return "", fmt.Errorf("the image has %d layers, its configuration lists %d: save it again",
				len(layers), len(i.diffs))
		}
		for n, l := range layers {
			if err := apply(ctx, l, i.diffs[n], root); err != nil {
				return "", fmt.Errorf("layer %d of %d: %w", n+1, len(layers), err)
			}
			step.Set(int64(n+1), int64(len(layers)))
		}
		return root, nil
	})
}

// apply unpacks a layer to root, and removes what its whiteouts name. It fails if the layer does
// not have the checksum want.
func apply(ctx context.Context, l v1.Layer, want v1.Hash, root string) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	hash, err := v1.Hasher(want.Algorithm)
	if err != nil {
		return err
	}
	data := io.TeeReader(contextReader{ctx, r}, hash)
	err = unpackEntries(root, tar.NewReader(data))
	if err == nil {
		_, err = io.Copy(io.Discard, data) // padding at the end counts
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want.Hex {
		return errors.New("wrong checksum, the archive is damaged: save the image again")
	}
	return nil
}

// unpackEntries unpacks the files of a layer. A whiteout of ".." is refused: umoci would remove the
// parent of root.
func unpackEntries(root string, r *tar.Reader) error {
	extractor := layer.NewTarExtractor(&layer.UnpackOptions{
		OnDiskFormat: layer.DirRootfs{MapOptions: layer.MapOptions{Rootless: os.Geteuid() != 0}},
	})
	for {
		header, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		switch path.Base(header.Name) {
		case ".wh.", ".wh..", ".wh...":
			return fmt.Errorf("%s: not the name of a whiteout", header.Name)
		}
		if err := extractor.UnpackEntry(root, header, r); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

// contextReader is a Reader that fails when ctx has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
