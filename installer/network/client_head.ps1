# Tries VALT's network flows from this PC. Nothing is installed and nothing is changed.
#
#   powershell -ExecutionPolicy Bypass -File client.ps1
#   powershell -ExecutionPolicy Bypass -File client.ps1 -Administration    (on an administrator's PC)
#
# Run it on a PC in the network that people watch from. Exit code: 0 all work, 3 some do not.
param([switch]$Administration)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

if (-not (Get-Command Test-NetConnection -ErrorAction SilentlyContinue)) {
    Write-Host 'Test-NetConnection is missing: use Windows 8.1, Windows Server 2012 R2 or newer.'
    exit 2
}

