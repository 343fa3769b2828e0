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

$site = 'st-marys'
$tests = @(
    [pscustomobject]@{ For = 'people'; Name = 'app1'; Address = '10.0.4.10'; Port = 443; Service = 'HTTPS Web Application'; Purpose = 'People open VALT''s web pages, encrypted.'; Id = 'client.https/clients-10.0.0.0-16/app1' }
    [pscustomobject]@{ For = 'people'; Name = 'app1'; Address = '10.0.4.10'; Port = 444; Service = 'WSS Video Streaming'; Purpose = 'Live and recorded video reaches people''s browsers, encrypted.'; Id = 'client.wss/clients-10.0.0.0-16/app1' }
    [pscustomobject]@{ For = 'people'; Name = 'media1'; Address = '10.0.4.21'; Port = 444; Service = 'WSS Video Streaming'; Purpose = 'Live and recorded video reaches people''s browsers, encrypted.'; Id = 'client.wss/clients-10.0.0.0-16/media1' }
    [pscustomobject]@{ For = 'people'; Name = 'media2'; Address = 'media2.st-marys.example'; Port = 444; Service = 'WSS Video Streaming'; Purpose = 'Live and recorded video reaches people''s browsers, encrypted.'; Id = 'client.wss/clients-10.0.0.0-16/media2' }
    [pscustomobject]@{ For = 'people'; Name = 'app1'; Address = '10.0.4.10'; Port = 8000; Service = 'HTTP/HTTPS* Downloads/Wowza webserver'; Purpose = 'People download recordings and clips.'; Id = 'client.downloads/clients-10.0.0.0-16/app1' }
    [pscustomobject]@{ For = 'people'; Name = 'media1'; Address = '10.0.4.21'; Port = 8000; Service = 'HTTP/HTTPS* Downloads/Wowza webserver'; Purpose = 'People download recordings and clips.'; Id = 'client.downloads/clients-10.0.0.0-16/media1' }
    [pscustomobject]@{ For = 'people'; Name = 'media2'; Address = 'media2.st-marys.example'; Port = 8000; Service = 'HTTP/HTTPS* Downloads/Wowza webserver'; Purpose = 'People download recordings and clips.'; Id = 'client.downloads/clients-10.0.0.0-16/media2' }
    [pscustomobject]@{ For = 'administration'; Name = 'app1'; Address = '10.0.4.10'; Port = 2222; Service = 'SSH SSH'; Purpose = 'Administrators log in to the servers to install and maintain them.'; Id = 'admin.ssh/admins-10.0.99.0-28/app1, admin.ssh/admins-10.0.98.7/app1' }
    [pscustomobject]@{ For = 'administration'; Name = 'media1'; Address = '10.0.4.21'; Port = 22; Service = 'SSH SSH'; Purpose = 'Administrators log in to the servers to install and maintain them.'; Id = 'admin.ssh/admins-10.0.99.0-28/media1, admin.ssh/admins-10.0.98.7/media1' }
    [pscustomobject]@{ For = 'administration'; Name = 'media2'; Address = 'media2.st-marys.example'; Port = 22; Service = 'SSH SSH'; Purpose = 'Administrators log in to the servers to install and maintain them.'; Id = 'admin.ssh/admins-10.0.99.0-28/media2, admin.ssh/admins-10.0.98.7/media2' }
    [pscustomobject]@{ For = 'administration'; Name = 'app1'; Address = '10.0.4.10'; Port = 8088; Service = 'HTTP Wowza admin'; Purpose = 'Administrators open the streaming engine''s own pages.'; Id = 'admin.wowza/admins-10.0.99.0-28/app1, admin.wowza/admins-10.0.98.7/app1' }
    [pscustomobject]@{ For = 'administration'; Name = 'media1'; Address = '10.0.4.21'; Port = 8088; Service = 'HTTP Wowza admin'; Purpose = 'Administrators open the streaming engine''s own pages.'; Id = 'admin.wowza/admins-10.0.99.0-28/media1, admin.wowza/admins-10.0.98.7/media1' }
    [pscustomobject]@{ For = 'administration'; Name = 'media2'; Address = 'media2.st-marys.example'; Port = 8088; Service = 'HTTP Wowza admin'; Purpose = 'Administrators open the streaming engine''s own pages.'; Id = 'admin.wowza/admins-10.0.99.0-28/media2, admin.wowza/admins-10.0.98.7/media2' }
)

$wanted = @($tests | Where-Object { $Administration -or $_.For -eq 'people' })
Write-Host ('VALT site {0}: {1} connections from {2}' -f $site, $wanted.Count, $env:COMPUTERNAME)
Write-Host ''

$failed = @()
foreach ($t in $wanted) {
    $cause = ''
    try {
        $r = Test-NetConnection -ComputerName $t.Address -Port $t.Port -InformationLevel Detailed -WarningAction SilentlyContinue
        if (-not $r.TcpTestSucceeded) {
            $cause = 'no connection: a firewall on the way drops it, or nothing listens there yet'
            if (-not $r.RemoteAddress) { $cause = 'the name does not resolve on this PC' }
        }
    } catch {
        $cause = $_.Exception.Message
    }
    $mark = 'works '
    if ($cause) { $mark = 'FAILED'; $failed += $t }
    Write-Host ('{0}  {1,-24} {2,-22} TCP {3,-5}  {4}' -f $mark, $t.Name, $t.Address, $t.Port, $t.Service)
    if ($cause) {
        Write-Host ('        {0}' -f $cause)
        Write-Host ('        needed for: {0}  [{1}]' -f $t.Purpose, $t.Id)
    }
}

Write-Host ''
if (-not $Administration) {
    $rest = @($tests | Where-Object { $_.For -ne 'people' }).Count
    if ($rest) { Write-Host ('{0} connections for administration were not tried; -Administration tries them.' -f $rest) }
}
if ($failed.Count) {
    Write-Host ('{0} of {1} do not work. Show this to whoever looks after the firewall.' -f $failed.Count, $wanted.Count)
    exit 3
}
Write-Host ('All {0} work.' -f $wanted.Count)
exit 0
