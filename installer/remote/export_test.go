package remote

// InstallScript is what root runs to take an upload.
const InstallScript = installScript
