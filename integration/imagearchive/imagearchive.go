// Package imagearchive boots container images from files: it reads image archives in the formats of
// "docker save" and of OCI image layouts, as tar files or directories, and unpacks an image into a
// root directory, once.
//
//	image, err := imagearchive.Open("nginx.tar", "amd64")
//	...
//	defer image.Close()
//	dir, err := image.Root(ctx) // in the cache; must not be changed
//
// The formats are read by go-containerregistry, and layers are applied by umoci. What is unpacked is checked against the checksums in the image's configuration.
package imagearchive

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Image is an image of an archive.
type Image struct {
	// Config has what the image says of its programs: entrypoint, command, environment, user,
	// working directory and stop signal.
	Config v1.Config
	// Digest is the SHA-256 checksum of the image's configuration, in hexadecimal, which Docker
	// calls the ID of the image.
	Digest string

	files files
	image v1.Image
	diffs []v1.Hash // checksums of the layers without compression
}

// howTo says how to make an image archive.
const howTo = `make one by "docker save -o FILE.tar IMAGE" or ` +
	`"skopeo copy docker://IMAGE oci-archive:FILE.tar"`

// Open opens the image for Linux and arch, such as amd64, in an image archive or an OCI layout
// directory. It fails if there is no such image, or more than one; the error is one line that says
// what to do.
func Open(file, arch string) (*Image, error) {
	f, err := openFiles(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: want the file of an image: %s", err, howTo)
	case errors.Is(err, errNotArchive):
		return nil, fmt.Errorf("%s: %w: want an image archive: %s", file, err, howTo)
	case errors.As(err, new(*fs.PathError)): // has the name
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	image, err := open(f, arch)
	if err != nil {
		f.close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return image, nil
}

// Close closes the archive.
func (i *Image) Close() error { return i.files.close() }

// candidate is an image of the archive.
type candidate struct {
	name  string // may be empty
	raw   []byte // the configuration
	file  v1.ConfigFile
	image func() (v1.Image, error)
}

func open(f files, arch string) (*Image, error) {
	candidates, err := list(f)
	if err != nil {
		return nil, err
	}
	found, err := choose(candidates, arch)
	if err != nil {
		return nil, err
	}
	image := &Image{
		Config: found.file.Config,
		Digest: fmt.Sprintf("%x", sha256.Sum256(found.raw)),
		files:  f,
		diffs:  found.file.RootFS.DiffIDs,
	}
	if len(image.diffs) == 0 {
		return nil, errors.New("the image has no layers, so there is nothing to boot: " +
			"build it from a base image, or with files")
	}
	image.image, err = found.image()
	return image, err
}

// list returns the images in the archive.
func list(f files) ([]candidate, error) {
	index, err := readJSON(f, "index.json")
	if err == nil {
		return listIndex(f, index, "", 0)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	candidates, err := listDocker(f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(`no image, it has neither index.json nor manifest.json: %s ("docker export" `+
			`writes files without a configuration; unpack those, and use --root)`, howTo)
	}
	return candidates, err
}

// choose returns the only image for Linux and arch.
func choose(all []candidate, arch string) (candidate, error) {
	var found []candidate
	var others, names []string
	for _, c := range all {
		if c.file.OS != "" && c.file.OS != "linux" || c.file.Architecture != "" && c.file.Architecture != arch {
			others = append(others, c.file.OS+"/"+c.file.Architecture)
			continue
		}
		same := func(other candidate) bool { return string(other.raw) == string(c.raw) }
		if !slices.ContainsFunc(found, same) {
			found = append(found, c)
			names = append(names, c.name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return candidate{}, fmt.Errorf("has %d images for linux/%s (%s): save one of them alone",
			len(found), arch, strings.Join(names, ", "))
	case len(others) == 0:
		return candidate{}, errors.New("the archive has no image: " + howTo)
	}
	slices.Sort(others)
	others = slices.Compact(others)
	return candidate{}, fmt.Errorf("is for %s, and the guest is linux/%s: "+
		"want an image for linux/%[2]s, or another --arch", strings.Join(others, ", "), arch)
}

// refName is the annotation with the name of an image; see the OCI image specification.
const refName = "org.opencontainers.image.ref.name"

// maxNesting is how deep indexes may be nested.
const maxNesting = 4

// listIndex returns the images of an OCI index. It leaves out what is not in the archive, such as
// the other platforms of an image, and entries that are not images, such as attestations.
func listIndex(f files, raw []byte, name string, depth int) (all []candidate, err error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	for _, d := range index.Manifests {
		raw, err := readJSON(f, blob(d.Digest))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		called := d.Annotations[refName]
		if image := d.Annotations["io.containerd.image.name"]; image != "" {
			called = image
		}
		if called == "" {
			called = name
		}
		if d.MediaType.IsIndex() {
			if depth == maxNesting {
				return nil, fmt.Errorf("more than %d nested indexes", maxNesting)
			}
			nested, err := listIndex(f, raw, called, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, nested...)
			continue
		}
		c, ok, err := readManifest(f, raw, called)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, c)
		}
	}
	return all, nil
}

// readManifest returns the image of a manifest. It returns false if the manifest is not one of an
// image, or its configuration is not in the archive.
func readManifest(f files, raw []byte, name string) (c candidate, ok bool, err error) {
	var manifest v1.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return c, false, fmt.Errorf("manifest: %w", err)
	}
	if !manifest.Config.MediaType.IsConfig() {
		return c, false, nil
	}
	config, err := readJSON(f, blob(manifest.Config.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	c = candidate{name: name, raw: config}
	if err == nil {
		err = json.Unmarshal(config, &c.file)
	}
	if err != nil {
		return c, false, fmt.Errorf("configuration of the image: %w", err)
	}
	if c.file.OS == "unknown" || c.file.Architecture == "unknown" { // an attestation
		return c, false, nil
	}
	c.image = func() (v1.Image, error) {
		return partial.CompressedToImage(ociImage{f, raw, config, manifest})
	}
	return c, true, nil
}

// blob returns the path of a blob in an OCI layout.
func blob(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// ociImage is an image in an OCI layout.
type ociImage struct {
	files       files
	raw, config []byte
	manifest    v1.Manifest
}

func (i ociImage) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i ociImage) RawConfigFile() ([]byte, error)      { return i.config, nil }
func (i ociImage) MediaType() (types.MediaType, error) { return i.manifest.MediaType, nil }
func (i ociImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range i.manifest.Layers {
		if d.Digest == h {
			return ociLayer{i.files, d}, nil
		}
	}
	return nil, fmt.Errorf("no layer %s", h)
}

// ociLayer is a layer in an OCI layout.
type ociLayer struct {
	files files
	d     v1.Descriptor
}

func (l ociLayer) Digest() (v1.Hash, error)            { return l.d.Digest, nil }
func (l ociLayer) Size() (int64, error)                { return l.d.Size, nil }
func (l ociLayer) MediaType() (types.MediaType, error) { return l.d.MediaType, nil }
func (l ociLayer) Compressed() (io.ReadCloser, error)  { return l.files.open(blob(l.d.Digest)) }

// listDocker returns the images in the output of "docker save".
func listDocker(f files) ([]candidate, error) {
	a, ok := f.(*archive)
	if !ok {
		return nil, fs.ErrNotExist
	}
	opener := func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(a.File, 0, 1<<62)), nil
	}
	manifest, err := readJSON(f, "manifest.json")
	if err != nil {
		return nil, err
	}
	var entries tarball.Manifest
	if err := json.Unmarshal(manifest, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var all []candidate
	for _, e := range entries {
		c := candidate{name: strings.Join(e.RepoTags, " ")}
		if c.raw, err = readJSON(f, e.Config); err == nil {
			err = json.Unmarshal(c.raw, &c.file)
		}
		if err != nil {
			return nil, fmt.Errorf("configuration of the image: %w", err)
		}
		if len(e.Layers) == 0 { // go-containerregistry requires one
			c.file.RootFS.DiffIDs = nil
		}
		c.image = func() (v1.Image, error) {
			if len(entries) == 1 {
				return tarball.Image(opener, nil)
			}
			if len(e.RepoTags) == 0 {
				return nil, errors.New("several images, and this one has no name: save it alone")
			}
			tag, err := name.NewTag(e.RepoTags[0])
			if err != nil {
				return nil, err
			}
			return tarball.Image(opener, &tag)
		}
		all = append(all, c)
	}
	return all, nil
}
