# Loads a Vagrantfile and prints, as machine-readable lines, which machines `vagrant up` boots or
# skips because of autostart: false; `vagrant status` prints everything else.
module KubeclusterAutostart
  def define(name, options = nil, &block)
    puts "#{Time.now.to_i},#{name},autostart,#{options[:autostart]}" if options&.key?(:autostart)
    super
  end
end

Vagrant.configure("2") { |config| config.vm.class.prepend(KubeclusterAutostart) }
load ENV.fetch("KUBECLUSTER_VAGRANTFILE")
